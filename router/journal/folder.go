package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A journal's folder says what it is in a file of its own, which also names the destinations whose progress is kept there:
// the one that has lost its progress must not be taken for a new one.
const (
	stampFile    = "aka-journal"
	stampVersion = 1
	stampMax     = 1 << 20
	lockFile     = "lock"
	// quarantine is the folder of the damaged pieces of files.
	quarantine = "quarantine"
)

// stamp is the content of the stamp file.
type stamp struct{ destinations []string }

// Errors of Open about the folder itself.
var (
	// ErrNoJournal tells that a folder holds something else.
	ErrNoJournal = errors.New("no journal")
	// ErrOtherVersion tells that another version of aka wrote the folder.
	ErrOtherVersion = errors.New("another version")
	// ErrBroken tells that a part of the journal is missing that this program cannot do without.
	ErrBroken = errors.New("the journal is not whole")
)

// isNew tells whether a folder holds nothing yet. One that holds something else than a journal is ErrNoJournal.
func isNew(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return false, fmt.Errorf("%w: %s is no folder", ErrNoJournal, dir)
	}
	if err != nil {
		return false, err
	}
	stranger := ""
	for _, e := range entries {
		switch name := e.Name(); {
		case name == stampFile || name == "jetstream":
			return false, nil
		case name == lockFile || name == "lost+found" || strings.HasPrefix(name, "."):
		default:
			stranger = name
		}
	}
	if stranger != "" {
		return false, fmt.Errorf("%w: %s holds %s and other things, but no %s: name an empty folder, or one that aka has made",
			ErrNoJournal, dir, stranger, stampFile)
	}
	return true, nil
}

// readStamp returns what the folder says of itself; nil when it says nothing.
func readStamp(dir string) (*stamp, error) {
	path := filepath.Join(dir, stampFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > stampMax || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is damaged", ErrBroken, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	body, sum, _ := strings.Cut(string(data), "sum ")
	if sum != stampSum(body) {
		return nil, fmt.Errorf("%w: %s is damaged", ErrBroken, path)
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if want := fmt.Sprintf("aka journal %d", stampVersion); lines[0] != want {
		return nil, fmt.Errorf("%w of aka made the journal: %s says %q and not %q; use that version, or another folder", ErrOtherVersion, path, lines[0], want)
	}
	s := &stamp{}
	for _, line := range lines[1:] {
		if name, ok := strings.CutPrefix(line, "destination "); ok {
			s.destinations = append(s.destinations, name)
		}
	}
	return s, nil
}

func stampSum(body string) string {
	return fmt.Sprintf("%08x\n", crc32.Checksum([]byte(body), castagnoli))
}

// anyDestination stands for all: where it is not known any more whose progress there was, every destination may have lost
// its own.
const anyDestination = "*"

func (s *stamp) knows(destination string) bool {
	return slices.Contains(s.destinations, destination) || slices.Contains(s.destinations, anyDestination)
}

// write makes the folder say it from now on, also after a power cut.
func (s *stamp) write(dir string) error {
	body := fmt.Sprintf("aka journal %d\n", stampVersion)
	for _, name := range s.destinations {
		body += "destination " + name + "\n"
	}
	return writeDurably(filepath.Join(dir, stampFile), []byte(body+"sum "+stampSum(body)))
}

// writeDurably puts a file in its place as a whole: after a power cut there is the old one or the new one.
func writeDurably(path string, data []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// streamsOf is the folder of the streams, and msgsOf that of a stream's blocks.
func streamsOf(dir string) string { return filepath.Join(dir, "jetstream", "$G", "streams") }

func msgsOf(dir, stream string) string { return filepath.Join(streamsOf(dir), stream, "msgs") }

// streamNames are the streams of a journal. The progress comes first: it tells how long the log was.
var streamNames = []string{progressStream, callsStream, deadStream, parkedStream, mergesStream}

// mayBeMissing tells whether a journal is whole without a stream: merges that are gone are only forgotten, and older journals
// have none.
func mayBeMissing(stream string) bool { return stream == mergesStream }

// isOpenToOthers tells whether users who are neither the owner nor of the group may look into a folder. It is no reason not to
// start: the volumes of containers often are, and nobody else is there.
func isOpenToOthers(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o007 != 0
}
