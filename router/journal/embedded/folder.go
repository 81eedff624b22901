package embedded

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// What lies in a journal's folder.
const (
	identityFile = "aka-journal"          // says what the folder is, and in which version
	creatingFile = "aka-journal.creating" // is there while a journal is made: it has taken no call yet
	lockFile     = "lock"                 // held by the process that has the folder
	logFolder    = "log"                  // the frames: see package seglog
	recordFolder = "records"              // the keyed records: see package keystore

	// folderVersion is the version of this layout. A program reads its own. 1 was another engine's; 2 numbered the parked calls,
	// instead of keeping them in queues.
	folderVersion = 3
	identityMax   = 1 << 10
	// oldFolder is what the engine of version 1 made.
	oldFolder = "jetstream"
)

// Errors about the folder itself.
var (
	// ErrNoJournal means that a folder holds something else.
	ErrNoJournal = errors.New("no journal")
	// ErrOtherVersion means that another version of aka wrote the folder.
	ErrOtherVersion = engine.ErrOtherVersion
	// ErrBroken means that a part of the journal is missing, or not as it must be.
	ErrBroken = engine.ErrBroken
	// ErrInUse means that another process has the folder.
	ErrInUse = errors.New("in use by another aka")
)

// errOldEngine is the one line for folders of version 1.
var errOldEngine = fmt.Errorf("%w of aka made the journal, with another engine: %s", ErrOtherVersion, emptyFirst)

// emptyFirst is what to do with a journal of an earlier version.
const emptyFirst = `start the aka that made it, empty it with "aka drain", see to "aka dead list", then name an empty folder`

// folderState is what a look at a folder says.
type folderState int

const (
	folderNew     folderState = iota // nothing is there, or only what an interrupted creation left
	folderCreated                    // it holds a journal
)

// examineFolder reports what a folder holds. Something else than a journal is ErrNoJournal, an older one ErrOtherVersion.
func examineFolder(dir string) (folderState, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return folderNew, nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return folderNew, fmt.Errorf("%w: %s is no folder", ErrNoJournal, dir)
	}
	if err != nil {
		return folderNew, err
	}
	stranger, part, identified, creating := "", "", false, false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == oldFolder:
			return folderNew, errOldEngine
		case name == identityFile:
			identified = true
		case name == creatingFile:
			creating = true
		case name == logFolder || name == recordFolder:
			part = name
		case name == lockFile || strings.HasSuffix(name, temporary) || name == "lost+found" || strings.HasPrefix(name, "."):
		default:
			stranger = name
		}
	}
	switch {
	case identified:
		return folderCreated, checkIdentity(dir)
	case stranger != "":
		return folderNew, fmt.Errorf("%w: %s holds %s and other things, but no %s: name an empty folder, or one that aka has made",
			ErrNoJournal, dir, stranger, identityFile)
	case part != "" && !creating:
		return folderNew, fmt.Errorf("%w: %s holds %s, and %s is missing; %s", ErrBroken, dir, part, identityFile, whatNext)
	}
	return folderNew, nil
}

func identity() string { return withSum(fmt.Sprintf("aka journal %d\n", folderVersion)) }

func withSum(body string) string {
	return fmt.Sprintf("%ssum %08x\n", body, crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)))
}

// checkIdentity refuses a folder of another version, and one whose identity file is damaged.
func checkIdentity(dir string) error {
	path := filepath.Join(dir, identityFile)
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	damaged := fmt.Errorf("%w: %s is damaged", ErrBroken, path)
	if info.Size() > identityMax || !info.Mode().IsRegular() {
		return damaged
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	body, _, _ := strings.Cut(string(data), "sum ")
	if string(data) != withSum(body) {
		return damaged
	}
	said, ok := strings.CutPrefix(strings.TrimSuffix(body, "\n"), "aka journal ")
	version, err := strconv.Atoi(said)
	if ok && err == nil && version == folderVersion {
		return nil
	}
	advice := "use that version, or another folder"
	if ok && err == nil && version < folderVersion {
		advice = emptyFirst
	}
	return fmt.Errorf("%w of aka made the journal: %s says %q, this program reads %d; %s",
		ErrOtherVersion, path, strings.TrimSuffix(body, "\n"), folderVersion, advice)
}

// parts are what a journal has from its creation on.
var parts = []string{logFolder, logFolder + "/state", recordFolder, recordFolder + "/KEYSTORE"}

// missingParts returns an error for each part that is not there. Without the small files the packages below would take an
// emptied folder for a new one.
func missingParts(files vfs.FS, dir string) (missing []error) {
	for _, part := range parts {
		path := filepath.Join(dir, part)
		if _, err := files.Stat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, fmt.Errorf("%w: %s is missing", ErrBroken, path))
		} else if err != nil {
			missing = append(missing, err)
		}
	}
	return missing
}

// endCreation makes a folder that is being created a journal, in one step: a crash leaves one or the other.
func endCreation(dir string) error {
	creating := filepath.Join(dir, creatingFile)
	if err := writeDurably(creating, []byte(identity())); err != nil {
		return err
	}
	if err := os.Rename(creating, filepath.Join(dir, identityFile)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// writeIdentity makes the folder a journal, also after a power cut.
func writeIdentity(dir string) error {
	return writeDurably(filepath.Join(dir, identityFile), []byte(identity()))
}

const temporary = ".new"

// writeDurably puts a file in its place as a whole: after a power cut there is the old one or the new one.
func writeDurably(path string, data []byte) error {
	f, err := os.OpenFile(path+temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
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
		err = os.Rename(path+temporary, path)
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

// takeFolder makes the folder and takes it for this process. The lock goes with the process, however that ends.
func takeFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, lockFailed(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("%w (process %s)", ErrInUse, strings.TrimSpace(string(owner)))
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}

// lockFailed says what to do about a folder where nothing can be made.
func lockFailed(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("%w; the folder must belong to the user that runs aka, and be writable", err)
}

// borrowFolder keeps others from opening the journal, without writing to its folder.
func borrowFolder(dir string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is %w: stop it first", dir, ErrInUse)
	}
	return func() { _ = f.Close() }, nil
}

// isOpenToOthers reports whether users who are neither the owner nor of the group may look into a folder. It is no reason not
// to start: the volumes of containers often are, and there is no other user.
func isOpenToOthers(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o007 != 0
}
