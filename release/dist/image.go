package dist

import (
	"context"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pullkey/pullkey/release/bill"
	"github.com/pullkey/pullkey/release/image"
	"github.com/pullkey/pullkey/release/licence"
	"github.com/pullkey/pullkey/release/program"
	"github.com/pullkey/pullkey/release/roots"
)

// controller names the image, and is what runs where nothing else is said.
const controller = "pullkey-controller"

// held are the programs that the image holds: the controller, and what the chart's
// DaemonSet places on nodes.
func held() []string { return []string{controller, "pullkey-credential-provider"} }

func (r *Release) about() image.About {
	return image.About{
		Name: controller, Title: controller, Licenses: "Apache-2.0",
		Description: "keeps image pull Secrets fresh with temporary credentials of Alibaba Cloud Container Registry",
		Version:     r.Version, Revision: r.Commit.Revision(), Created: r.Commit.Date,
	}
}

// controllerImage makes the controller's image as a layout and as an archive,
// and a bill for each platform, in the layout and beside it.
func controllerImage(ctx context.Context, r *Release) error {
	beside, err := r.beside(ctx)
	if err != nil {
		return err
	}
	name := controller + "-" + r.Version + ".oci"
	layout, err := image.NewLayout(r.path(name), r.Commit.Date)
	if err != nil {
		return err
	}
	var images []v1.Image
	for _, p := range program.Platforms() {
		one, err := r.imageFor(p, beside)
		if err != nil {
			return err
		}
		images = append(images, one)
	}
	index, err := image.Index(r.about(), images)
	if err != nil {
		return err
	}
	if err := layout.Put(index, r.Version); err != nil {
		return err
	}
	for i, p := range program.Platforms() {
		document, err := r.imageBill(images[i], p, beside)
		if err != nil {
			return err
		}
		if err := layout.Attach(images[i], bill.MediaType, document, r.about().Annotations()); err != nil {
			return err
		}
		if err := r.write(name+"."+p.Suffix()+".cdx.json", document); err != nil {
			return err
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("digest of the image: %w", err)
	}
	r.digest = digest.String()
	return r.archive(layout, name+".tar")
}

// licences is the file of the image with what its programs may be handed on
// under.
const licences = "licenses.txt"

// beside are the files that the image holds beside its programs.
func (r *Release) beside(ctx context.Context) ([]bill.File, error) {
	list, err := roots.PEM()
	if err != nil {
		return nil, err
	}
	from, err := roots.Source()
	if err != nil {
		return nil, err
	}
	texts, err := licence.Of(ctx, r.Root, r.everyBuilt(held()...)...)
	if err != nil {
		return nil, err
	}
	return []bill.File{{Path: roots.File, Content: list, From: from}, {Path: licences, Content: texts}}, nil
}

func (r *Release) imageFor(p program.Platform, beside []bill.File) (v1.Image, error) {
	var files []image.File
	for _, name := range held() {
		content, err := os.ReadFile(r.built(name, p))
		if err != nil {
			return nil, fmt.Errorf("make the image for %s: %w", p, err)
		}
		files = append(files, image.File{Path: name, Content: content, Executable: true})
	}
	for _, f := range beside {
		files = append(files, image.File{Path: f.Path, Content: f.Content})
	}
	return image.OnePlatform(r.about(), v1.Platform{OS: p.OS, Architecture: p.Architecture}, files)
}

func (r *Release) imageBill(of v1.Image, p program.Platform, beside []bill.File) ([]byte, error) {
	digest, err := of.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest of the image for %s: %w", p, err)
	}
	var programs []*bill.Bill
	for _, name := range held() {
		program, err := bill.OfProgram(r.built(name, p), r.Version, r.Commit.Date)
		if err != nil {
			return nil, err
		}
		programs = append(programs, program)
	}
	about := bill.Image{Name: controller, Version: r.Version, Digest: digest.String(), Architecture: p.Architecture, Created: r.Commit.Date}
	whole, err := bill.OfImage(about, programs, beside...)
	if err != nil {
		return nil, err
	}
	return whole.JSON()
}

func (r *Release) archive(layout *image.Layout, name string) error {
	file, err := os.Create(r.path(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := layout.Archive(file); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
