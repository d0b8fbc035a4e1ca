package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pullkey/pullkey/internal/registry"
)

const pullAbout = `Fetch an image into a folder, in the layout that OCI defines: skopeo, oras,
crane and others read it. Each content is compared with its digest. What a pull
that was interrupted left there is used again.

To go on with it: skopeo copy oci:app:1.0 docker-archive:app.tar:app:1.0, and
docker load -i app.tar. Give each image a folder of its own: skopeo finds an
image by its tag alone, and takes the first of two that have the same. In one
folder the tag goes to the platform that was pulled last.`

const pullExample = `  pullkey pull registry.example.com/team/app:1.0 --output ./app
  pullkey pull registry.example.com/team/app --output ./app --platform linux/arm64
  pullkey pull registry.example.com/team/app --output ./app --client containerd --trace`

// pullDone is the JSON document of the command pull.
type pullDone struct {
	registry.Pulled
	Folder string          `json:"folder"`
	Steps  []registry.Step `json:"steps,omitempty"`
}

func (p *program) pullCommand() *cobra.Command {
	var f conversationFlags
	var folder, platform string
	cmd := &cobra.Command{
		Use: "pull IMAGE --output DIR", Short: "fetch an image into a folder", Long: pullAbout, Example: pullExample,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if folder == "" {
				return usageError{errors.New("the flag --output DIR is missing"), cmd.CommandPath()}
			}
			if _, err := registry.ParsePlatform(platform); err != nil {
				return usageError{err, cmd.CommandPath()}
			}
			c, err := p.about(cmd, &f, args[0])
			if err != nil {
				return err
			}
			return p.pull(cmd, c, registry.PullOptions{
				Platform: platform, Dir: folder, Progress: p.progress(p.redraws() && !f.trace).show,
			})
		},
	}
	s := cmd.Flags()
	s.SortFlags = false
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		wrong := usageError{err, cmd.CommandPath()}
		if strings.Contains(err.Error(), "--format") {
			return advise(wrong, "the folder is given with --output DIR; -o is how to print")
		}
		return wrong
	})
	s.StringVar(&folder, "output", "", "`folder` for the image; made if it is not there")
	s.StringVar(&platform, "platform", "", "`os/arch[/variant]` to choose from an image for several; linux and this machine's unless given")
	f.define(cmd)
	return cmd
}

func (p *program) pull(cmd *cobra.Command, c conversation, o registry.PullOptions) error {
	got, err := c.Pull(cmd.Context(), c.image, o)
	if err != nil && cmd.Context().Err() != nil {
		return advise(errInterrupted, "the same command goes on from there")
	}
	if err != nil {
		return err
	}
	var size int64
	for _, blob := range got.Blobs {
		size += blob.Size
	}
	text := fmt.Sprintf("%s %d bytes in %s", got.Digest, size, clean(o.Dir))
	if got.Bytes != size {
		text += fmt.Sprintf(", %d of them fetched now", got.Bytes)
	}
	return p.found(pullDone{got, o.Dir, p.traced}, text)
}
