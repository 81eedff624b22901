package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
type stamp struct{ destinations []standing }

// standing is what the folder says of one destination beside its progress.
type standing struct {
	name   string
	paused bool
	// forgotten tells that what is kept of it is being let go of.
	forgotten bool
	// removedAt is the first frame that was written after the destination left the config, and callsBefore how many calls the
	// log had accepted by then; 0 while it is there.
	removedAt, callsBefore uint64
}

// String is the standing's line in the file.
func (s standing) String() string {
	line := "destination " + s.name
	if s.paused {
		line += " paused"
	}
	if s.forgotten {
		line += " forgotten"
	}
	if s.removedAt > 0 {
		line += fmt.Sprintf(" removed %d %d", s.removedAt, s.callsBefore)
	}
	return line
}

// readStanding reads what follows "destination" in a line. What it does not know was written by a newer version, and is an error.
func readStanding(words []string) (s standing, err error) {
	s.name = words[0]
	for rest := words[1:]; len(rest) > 0; {
		switch {
		case rest[0] == "paused":
			s.paused, rest = true, rest[1:]
		case rest[0] == "forgotten":
			s.forgotten, rest = true, rest[1:]
		case rest[0] == "removed" && len(rest) > 2:
			s.removedAt, err = strconv.ParseUint(rest[1], 10, 64)
			if err == nil {
				s.callsBefore, err = strconv.ParseUint(rest[2], 10, 64)
			}
			if err != nil {
				return s, err
			}
			rest = rest[3:]
		default:
			return s, fmt.Errorf("%q is not known", rest[0])
		}
	}
	return s, nil
}

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
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "destination" {
			continue
		}
		d, err := readStanding(words[1:])
		if err != nil {
			return nil, fmt.Errorf("%w of aka wrote %s: %w", ErrOtherVersion, path, err)
		}
		s.destinations = append(s.destinations, d)
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
	return s.find(destination) != nil || s.find(anyDestination) != nil
}

// find returns what is said of a destination, to be changed; nil when nothing is.
func (s *stamp) find(destination string) *standing {
	for i := range s.destinations {
		if s.destinations[i].name == destination {
			return &s.destinations[i]
		}
	}
	return nil
}

// clone returns a stamp that can be changed while this one stands.
func (s *stamp) clone() stamp { return stamp{slices.Clone(s.destinations)} }

// write makes the folder say it from now on, also after a power cut.
func (s *stamp) write(dir string) error {
	body := fmt.Sprintf("aka journal %d\n", stampVersion)
	for _, d := range s.destinations {
		body += d.String() + "\n"
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
