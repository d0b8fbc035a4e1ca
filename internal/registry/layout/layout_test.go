package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func open(t *testing.T, dir string) *Layout {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func describe(body []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: "text/plain", Digest: digest.FromBytes(body), Size: int64(len(body))}
}

// tree lists the files below dir with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAnEmptyFolderBecomesALayoutAndAnotherOneDoesNot(t *testing.T) {
	t.Parallel()
	empty := map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`,
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  map[string]string
		err   string
	}{
		{"a folder that is absent", nil, empty, ""},
		{"a folder with hidden files", map[string]string{".gitkeep": ""}, map[string]string{".gitkeep": "", "oci-layout": empty["oci-layout"], "index.json": empty["index.json"]}, ""},
		{"a layout whose making was interrupted", map[string]string{"oci-layout": empty["oci-layout"]}, empty, ""},
		{"a folder with other files", map[string]string{"thesis.tex": "x"}, map[string]string{"thesis.tex": "x"}, "the folder holds other files"},
		{"a layout of another version", map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`}, map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`}, `it is of version "2.0.0"`},
		{"a file oci-layout that is none", map[string]string{"oci-layout": "hello"}, map[string]string{"oci-layout": "hello"}, "read the file oci-layout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "image")
			for name, body := range c.files {
				if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(body), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			l, err := Open(t.Context(), dir)
			if err == nil {
				err = l.Close()
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("Open: %v; want an error with %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, tree(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContentThatCameInPartsIsVerifiedFromItsFirstByte(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789"), 100_000) // several chunks
	d := describe(body)
	cut := errors.New("cut")
	for _, c := range []struct {
		name  string
		parts []string // each an attempt of its own
		want  error
	}{
		{"whole at once", []string{string(body)}, nil},
		{"in three attempts", []string{string(body[:1000]), string(body[1000:700_000]), string(body[700_000:])}, nil},
		{"with a first part of something else", []string{strings.Repeat("x", 1000), string(body[1000:])}, ErrWrongContent},
		{"not whole", []string{string(body[:1000])}, io.ErrUnexpectedEOF},
		{"longer than announced", []string{string(body) + "!"}, ErrTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := open(t, t.TempDir())
			var got error
			came := int64(0)
			for i, part := range c.parts {
				p, err := l.Resume(d)
				if err != nil {
					t.Fatal(err)
				}
				if p.Offset() != came {
					t.Errorf("attempt %d begins at %d; want %d", i, p.Offset(), came)
				}
				_, got = p.ReadFrom(io.MultiReader(strings.NewReader(part), iotest.ErrReader(cut)))
				if errors.Is(got, cut) {
					got = nil
				}
				if i == len(c.parts)-1 && got == nil {
					got = p.Commit()
				}
				came = p.Offset()
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if !errors.Is(got, c.want) {
				t.Errorf("kept: %v; want %v", got, c.want)
			}
			held, err := l.Holds(d)
			if err != nil || held != (c.want == nil) {
				t.Errorf("the layout holds it: %v, %v; want %v", held, err, c.want == nil)
			}
		})
	}
}

func TestWhatIsThereAndDamagedCountsAsAbsentAndIsReplaced(t *testing.T) {
	t.Parallel()
	body := []byte("the content")
	d := describe(body)
	for name, damaged := range map[string]string{"shorter": "the", "changed": "the c0ntent", "longer": "the content!"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, dir)
			path := filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())
			if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
				t.Fatal(err)
			}
			if held, err := l.Holds(d); held || err != nil {
				t.Errorf("the layout holds the damaged content: %v, %v", held, err)
			}
			if err := l.Put(d, body); err != nil {
				t.Fatal(err)
			}
			if got, err := l.Read(d, 100); err != nil || string(got) != string(body) {
				t.Errorf("the content is %q, %v", got, err)
			}
		})
	}
}

func TestTwoMayKeepTheSameContentAtTheSameTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	body := bytes.Repeat([]byte("same"), 10_000)
	d := describe(body)
	one, err := open(t, dir).Resume(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Write(body[:100]); err != nil {
		t.Fatal(err)
	}
	two, err := open(t, dir).Resume(d)
	if err != nil {
		t.Fatal(err)
	}
	if two.Offset() != 0 {
		t.Errorf("the second goes on with the first one's file, at %d", two.Offset())
	}
	for _, p := range []*Partial{two, one} {
		if _, err := p.Write(body[p.Offset():]); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Commit(), p.Close()); err != nil {
			t.Error(err)
		}
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			l, err := Open(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			body := fmt.Appendf(nil, "content %d", i%3)
			if err := errors.Join(l.Put(describe(body), body), l.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if entries, err := os.ReadDir(filepath.Join(dir, "ingest")); err == nil && len(entries) > 0 {
		t.Errorf("left over: %v", entries)
	}
}

func TestADigestThatIsAPathIsRefused(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	l := open(t, filepath.Join(parent, "image"))
	for _, text := range []string{
		"sha256:../../../escaped", "../../escaped:" + strings.Repeat("a", 64), "sha256:/etc/passwd", "sha256:", "", ":",
		"sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 63), "md5:" + strings.Repeat("a", 32), "escaped",
	} {
		d := v1.Descriptor{Digest: digest.Digest(text), Size: 1}
		if err := l.Put(d, []byte("x")); err == nil {
			t.Errorf("content was kept under the digest %q", text)
		}
		if held, err := l.Holds(d); held || err == nil {
			t.Errorf("the digest %q was looked for: %v, %v", text, held, err)
		}
		if _, err := l.Read(d, 10); err == nil {
			t.Errorf("the digest %q was read", text)
		}
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
		t.Errorf("beside the layout there is: %v, %v", entries, err)
	}
}

func TestALinkThatLeadsOutOfTheFolderIsNotFollowed(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "image")
	l := open(t, dir)
	outside := filepath.Join(parent, "outside")
	if err := errors.Join(os.Mkdir(outside, 0o755), os.RemoveAll(filepath.Join(dir, "blobs", "sha256")), os.Symlink(outside, filepath.Join(dir, "blobs", "sha256"))); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(describe([]byte("x")), []byte("x")); err == nil {
		t.Error("content was kept behind the link")
	}
	if files := tree(t, outside); len(files) > 0 {
		t.Errorf("outside the folder there is now: %v", files)
	}
}

func TestAnImageIsEnteredAndOthersKeepTheirEntries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	const foreign = `{"mediaType":"a/b","digest":"sha256:` + "0" + `","size":12345678901234567890,"annotations":{"org.opencontainers.image.ref.name":"theirs"},"more":{"x":[1]}}`
	text := `{"schemaVersion":2,"annotations":{"who":"them"},"manifests":[` + foreign + `,{"digest":"old","annotations":{"org.opencontainers.image.ref.name":"1"}},{"digest":"nameless"}]}`
	if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	one, two := describe([]byte("one")), describe([]byte("two"))
	two.Platform = &v1.Platform{OS: "linux", Architecture: "arm64"}
	for _, err := range []error{
		l.Name(t.Context(), one, "reg.io/a:1", "1"), l.Name(t.Context(), one, "reg.io/b:1", "1"), l.Name(t.Context(), two, "reg.io/a:1", "1"),
		l.Name(t.Context(), one, "reg.io/a@"+one.Digest.String(), ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	body, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Annotations map[string]string
		Manifests   []json.RawMessage
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, raw := range got.Manifests {
		var e v1.Descriptor
		_ = json.Unmarshal(raw, &e) // the foreign entry's size is no int64
		names = append(names, fmt.Sprintf("%.14s %s %s", e.Digest, e.Annotations[v1.AnnotationRefName], e.Annotations[AnnotationFullName]))
	}
	want := []string{
		"sha256:0 theirs ", "nameless  ",
		fmt.Sprintf("%.14s 1 reg.io/b:1", one.Digest), fmt.Sprintf("%.14s 1 reg.io/a:1", two.Digest), fmt.Sprintf("%.14s  reg.io/a@%s", one.Digest, one.Digest),
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if string(got.Manifests[0]) != foreign || got.Annotations["who"] != "them" {
		t.Errorf("what is not ours was changed: %s", body)
	}
}

func TestNobodyLosesAnEntryWhenManyWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			l, err := Open(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(l.Name(t.Context(), describe([]byte("x")), fmt.Sprintf("reg.io/a:%d", i), "x"), l.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	files := tree(t, dir)
	if got := strings.Count(files["index.json"], "reg.io/a:"); got != 20 || len(files) != 2 {
		t.Errorf("%d of 20 entries in %v", got, files)
	}
}

func FuzzEnter(f *testing.F) {
	f.Add(emptyIndex, "reg.io/a:1", "1")
	f.Add([]byte(`{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"1"}},{"x":1e400}]}`), "a", "1")
	f.Add([]byte(`{"manifests":null,"manifests":[{}]}`), "a", "")
	d := describe([]byte("x"))
	f.Fuzz(func(t *testing.T, text []byte, name, tag string) {
		if !utf8.ValidString(name) || !utf8.ValidString(tag) {
			return // no name of an image
		}
		once, err := enter(text, d, name, tag)
		if err != nil {
			return
		}
		twice, err := enter(once, d, name, tag)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("entered twice it is\n%s, %v; once\n%s", twice, err, once)
		}
		var before, after struct {
			Manifests []struct{ Annotations map[string]string }
		}
		if json.Unmarshal(text, &before) != nil || json.Unmarshal(once, &after) != nil {
			return
		}
		for _, e := range before.Manifests {
			if !hasName(e.Annotations, name, tag) && !slices.ContainsFunc(after.Manifests, func(o struct{ Annotations map[string]string }) bool {
				return cmp.Equal(o, e)
			}) {
				t.Errorf("the entry %v of %s is lost in %s", e, text, once)
			}
		}
	})
}

func TestWhatAHostileFolderHoldsIsNeitherWaitedForNorFollowed(t *testing.T) {
	t.Parallel()
	body := []byte("content")
	d := v1.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	dir := t.TempDir()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	blob := filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())
	part := filepath.Join(dir, "ingest", "sha256-"+d.Digest.Encoded())
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err := errors.Join(err, syscall.Mkfifo(blob, 0o600), os.MkdirAll(filepath.Dir(part), 0o700), os.Symlink("../index.json", part)); err != nil {
		t.Fatal(err)
	}
	if held, err := l.Holds(d); held || err != nil {
		t.Errorf("a pipe counts as content: %v, %v", held, err)
	}
	if _, err := l.Read(d, 1<<20); err == nil {
		t.Error("a pipe is read")
	}
	if err := l.Put(d, body); err != nil {
		t.Fatal(err)
	}
	if held, err := l.Holds(d); !held || err != nil {
		t.Errorf("the content is not there: %v, %v", held, err)
	}
	if now, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || !bytes.Equal(now, index) {
		t.Errorf("index.json was written over a link: %q, %v", now, err)
	}
}

func TestMoreThanIsWantedIsNotRead(t *testing.T) {
	t.Parallel()
	body := make([]byte, 1000)
	d := v1.Descriptor{Digest: digest.FromBytes(body), Size: int64(len(body))}
	l, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Put(d, body); err != nil {
		t.Fatal(err)
	}
	d.Size = 0 // as of a digest of which nothing else is known
	if _, err := l.Read(d, 999); err == nil || !strings.Contains(err.Error(), "larger than 999") {
		t.Errorf("got %v", err)
	}
}

func TestALockedFolderIsWaitedForAsLongAsTheCallerWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, err := os.Open(dir)
	if err := errors.Join(err, syscall.Flock(int(folder.Fd()), syscall.LOCK_EX)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
