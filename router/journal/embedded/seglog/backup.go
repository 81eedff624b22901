package seglog

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"

	"aka/router/journal/engine"
)

// Backup writes a copy of the log into an empty folder, or a new one, and returns the sequence of the copy's last frame.
// Finished segments are shared with the log by hard links, where the file system has them: they are never written again. Append
// goes on meanwhile, Trim waits. After an error the folder may hold a part of the copy.
func (l *Log) Backup(dir string) (last uint64, err error) {
	l.trimming.Lock()
	defer l.trimming.Unlock()
	if l.closed.Load() {
		return 0, engine.ErrClosed
	}
	segments, s, last := l.snapshot()
	files := l.options.FS
	err = makeEmptyDir(files, dir)
	for i := 0; i < len(segments) && err == nil; i++ {
		copied := files.PathJoin(dir, segmentName(segments[i].first))
		if i+1 < len(segments) {
			err = linkOrCopy(files, segments[i], copied)
		} else {
			err = copyStart(files, segments[i].path, copied, segments[i].end)
		}
	}
	if err == nil {
		err = writeState(files, dir, s) // last: without it the folder is no log
	}
	if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	return last, nil
}

// snapshot returns the log as it is at one moment.
func (l *Log) snapshot() (segments []segment, s state, last uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.segments {
		segments = append(segments, *p)
	}
	s = state{first: l.first.Load(), mark: l.mark}
	if n := len(segments); n > 0 {
		s.newest = segments[n-1].first
	}
	return segments, s, l.last
}

func linkOrCopy(files vfs.FS, s segment, to string) error {
	err := files.Link(s.path, to)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, err := files.Stat(s.path)
	if err != nil {
		return err
	}
	return copyStart(files, s.path, to, min(info.Size(), s.size)) // what is behind may be cut off meanwhile
}
