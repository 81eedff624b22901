package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// damage is a piece of a block that is no sound record.
type damage struct {
	file string
	span
	// torn tells that it is a write that did not come to its end, as in a power cut: nobody was answered for it.
	torn bool
	// kept is the file that holds a copy of it.
	kept string
}

// examination is what a look at every file of a journal has found and done, before the engine opens it: at what it cannot
// read, the engine cuts a block off, drops a stream, or never comes back.
type examination struct {
	dir      string
	damages  []damage
	metas    []string          // the engine's descriptions of streams that were damaged and are written anew
	reached  uint64            // the last frame of which the progress says something
	lost     uint64            // frames that are gone from the log's end
	progress map[string]record // the newest sound record of each destination, with its payload only
	window   *recollection     // nil when nobody needs it
}

// whatNext ends every refusal.
const whatNext = `put the files back, or see "aka journal check" and "aka journal salvage"`

// examine looks at a folder that is locked. It mends what can be mended without losing more than is lost already, with a copy
// of every damaged piece in the quarantine folder, and refuses what cannot. What it reads of the dedupe window goes to window.
func examine(dir string, window *recollection) (*examination, error) {
	x := newExamination(dir)
	x.window = window
	stamp, err := readStamp(dir)
	if err != nil {
		return nil, fmt.Errorf("%w; %s", err, whatNext)
	}
	fresh, err := x.checkStreams(stamp != nil)
	if err != nil || fresh {
		return x, err
	}
	for _, stream := range streamNames {
		if mayBeMissing(stream) && !x.has(stream) {
			continue
		}
		if err := x.stream(stream); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func newExamination(dir string) *examination {
	return &examination{dir: dir, progress: map[string]record{}}
}

// checkStreams tells whether the journal is only being made, and refuses one that lacks a part. Before a journal says what
// it is, it takes no call.
func (x *examination) checkStreams(stamped bool) (fresh bool, err error) {
	missing, hasContent := "", false
	for _, stream := range streamNames {
		files, err := blockFiles(msgsOf(x.dir, stream))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if len(files) == 0 && !purging(x.dir, stream) && !mayBeMissing(stream) {
			missing = msgsOf(x.dir, stream)
		}
		for _, file := range files {
			info, err := os.Stat(file.path)
			if err != nil {
				return false, err
			}
			hasContent = hasContent || info.Size() > 0
		}
	}
	if missing != "" && (stamped || hasContent) {
		return false, fmt.Errorf("%w: %s has no blocks; %s", ErrBroken, missing, whatNext)
	}
	return missing != "", nil
}

// has tells whether there is anything of a stream, or something in its way.
func (x *examination) has(stream string) bool {
	files, err := blockFiles(msgsOf(x.dir, stream))
	return len(files) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// purging tells whether the engine was about to put an emptied stream in the place of the old one: it finishes that itself.
func purging(dir, stream string) bool {
	_, err := os.Stat(filepath.Join(streamsOf(dir), stream, "__new_msgs__"))
	return err == nil
}

func (x *examination) stream(stream string) error {
	if purging(x.dir, stream) {
		return nil
	}
	if err := x.meta(stream); err != nil {
		return err
	}
	msgs := msgsOf(x.dir, stream)
	files, err := blockFiles(msgs)
	if err != nil {
		return err
	}
	index, err := readIndex(stream, msgs)
	if err != nil {
		return err
	}
	if err := allThere(stream, files, index); err != nil {
		return err
	}
	last := uint64(0)
	var block []byte
	for i, file := range files {
		if block, err = readBlock(file.path, block); err != nil {
			return err
		}
		damaged := newBlockScanner(stream, file.number).scan(block, func(r record) {
			last = max(last, r.seq)
			switch {
			case stream == progressStream:
				x.note(r)
			case stream == callsStream && x.window != nil:
				x.window.note(r)
			}
		})
		if len(damaged) == 0 {
			continue
		}
		if err := x.mend(stream, file, block, damaged, i == len(files)-1); err != nil {
			return fmt.Errorf("%s is damaged, and setting that aside failed: %w", file.path, err)
		}
	}
	return x.end(stream, files[len(files)-1], max(index.lastSeq, x.expected(stream)), last)
}

// allThere refuses a stream of which a block's file is missing. Calls are only ever purged from the front, so that in their
// stream none can be missing in between.
func allThere(stream string, files []blockFile, index streamIndex) error {
	gone := -1
	for i := range files[1:] {
		if stream == callsStream && files[i].number+1 < files[i+1].number {
			gone = files[i].number + 1
		}
	}
	if newest := files[len(files)-1]; newest.number < index.lastBlock {
		gone = newest.number + 1
	}
	if gone < 0 {
		return nil
	}
	path := filepath.Join(filepath.Dir(files[0].path), fmt.Sprint(gone)+blockSuffix)
	return fmt.Errorf("%w: %s is missing; %s", ErrBroken, path, whatNext)
}

// note takes in a record of the progress.
// Of a destination there are older ones too, which the engine takes when the newest is damaged.
func (x *examination) note(r record) {
	destination, ok := strings.CutPrefix(string(r.subject), progressTopic)
	if !ok || r.erased || r.tombstone {
		return
	}
	if isForgotten(r.payload) {
		delete(x.progress, destination)
		return
	}
	r.raw, r.subject, r.payload = nil, nil, slices.Clone(r.payload)
	x.progress[destination] = r
	if p, err := DecodeProgress(r.payload); err == nil {
		x.reached = max(x.reached, p.reached())
	}
}

// expected returns the sequence that a stream must have reached by what stands elsewhere.
func (x *examination) expected(stream string) uint64 {
	if stream == callsStream {
		return x.reached
	}
	return 0
}

// mend takes the damaged pieces out of a block.
func (x *examination) mend(stream string, file blockFile, block []byte, damaged []span, newest bool) error {
	var sound []byte
	at := 0
	for _, d := range damaged {
		sound = append(sound, block[at:d.from]...)
		at = d.to
		found := damage{file: file.path, span: d, torn: newest && d.to == len(block) && isTorn(block[d.from:])}
		kept, err := x.keep(stream, file, d, block[d.from:d.to])
		// A full disk must not keep a write from being cut off for which nobody was answered.
		if err != nil && !(found.torn && errors.Is(err, syscall.ENOSPC)) {
			return err
		}
		found.kept = kept
		x.damages = append(x.damages, found)
	}
	sound = append(sound, block[at:]...)
	if err := forgetIndex(stream, x.dir); err != nil {
		return err
	}
	if last := damaged[len(damaged)-1]; len(damaged) == 1 && last.to == len(block) {
		return cutFile(file.path, int64(last.from))
	}
	return writeDurably(file.path, sound)
}

// isTorn tells whether the bytes at a file's end are the beginning of a record, or room that was never filled.
func isTorn(b []byte) bool {
	if len(bytes.Trim(b, "\x00")) == 0 || len(b) < 4 {
		return true
	}
	size := binary.LittleEndian.Uint32(b) &^ headersBit
	return size >= recordMin && size <= recordMax && int(size) > len(b)
}

func cutFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// keep copies a damaged piece into the quarantine folder.
func (x *examination) keep(stream string, file blockFile, at span, piece []byte) (path string, err error) {
	dir := filepath.Join(x.dir, quarantine)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for i := 0; ; i++ {
		path = filepath.Join(dir, fmt.Sprintf("%s-%d-%d.%d", stream, file.number, at.from, i))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return path, writeDurably(path, piece)
		}
	}
}

// forgetIndex makes the engine read the blocks of a stream as they are now.
func forgetIndex(stream, dir string) error {
	msgs := msgsOf(dir, stream)
	err := os.Remove(filepath.Join(msgs, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(msgs)
}

// end sees to it that a sequence which is gone from a stream's end is never used again.
func (x *examination) end(stream string, newest blockFile, expected, last uint64) error {
	if last >= expected {
		return nil
	}
	if stream == callsStream {
		x.lost = expected - last
	}
	if err := forgetIndex(stream, x.dir); err != nil {
		return err
	}
	number := newest.number + 1
	block := newBlockScanner(stream, number).tombstone(expected, 0)
	return writeDurably(filepath.Join(filepath.Dir(newest.path), fmt.Sprint(number)+blockSuffix), block)
}

// meta removes the engine's description of a stream when it is damaged: it is written anew from the config. The engine
// would pass over the stream.
func (x *examination) meta(stream string) error {
	dir := filepath.Join(streamsOf(x.dir), stream)
	described, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	hash := newHash(stream)
	_, _ = hash.Write(described)
	if string(sum) == hex.EncodeToString(hash.Sum(nil)) || described == nil && sum == nil {
		return nil
	}
	x.metas = append(x.metas, filepath.Join(dir, "meta.inf"))
	for _, name := range []string{"meta.inf", "meta.sum"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(dir)
}
