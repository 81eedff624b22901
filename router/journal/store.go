package journal

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	callsStream  = "AKA_CALLS"
	callsTopic   = "aka.calls"
	deadStream   = "AKA_DEAD"
	deadTopic    = "aka.dead."
	parkedStream = "AKA_PARKED"
	parkedTopic  = "aka.parked."
	progressKV   = "AKA_PROGRESS"
	mergesKV     = "AKA_MERGES"

	// maxPayload is the largest message: a frame is below what any server takes, but the progress of a destination with many
	// calls that wait here and there among others that have ended may be larger.
	maxPayload = 8 << 20

	serverStartTimeout = 2 * time.Minute // a large log that was not closed cleanly is read through on start
	requestTimeout     = 5 * time.Second
	// repeatWindow is how long a dead letter or a parked call that is written twice, around a crash, is recognized.
	repeatWindow = 10 * time.Minute
)

// store is the engine below the journal: JetStream in this process, over a folder that only this process may use. Nothing
// above it knows that the server is embedded.
type store struct {
	dir    string
	lock   *os.File
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	calls  jetstream.Stream
	dead   jetstream.Stream
	parked jetstream.Stream
	kv     jetstream.KeyValue
	merges jetstream.KeyValue
	merged jetstream.Stream // what the bucket of merges lies in
}

// openStore looks at every file before the engine does, and says what it found.
func openStore(ctx context.Context, o Options) (*store, *examination, error) {
	if _, err := isNew(o.Dir); err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, nil, err
	}
	s := &store{dir: o.Dir, lock: lock}
	x, err := examine(o.Dir, newRecollection(o.Dedupe, time.Now()))
	if err != nil {
		s.close()
		return nil, nil, fmt.Errorf("open journal %s: %w", o.Dir, err)
	}
	if err := s.open(ctx, o); err != nil {
		s.close()
		// The engine does not tell.
		if full := diskIsFull(o.Dir, maxFrame); full != nil {
			err = fmt.Errorf("%w: %w", full, err)
		}
		return nil, nil, err
	}
	return s, x, nil
}

// open starts the engine in a folder that is locked.
func (s *store) open(ctx context.Context, o Options) (err error) {
	if s.server, err = startServer(o); err != nil {
		return err
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(s.server), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect to the embedded server: %w", err)
	}
	if s.js, err = jetstream.New(s.conn); err != nil {
		return err
	}
	return s.openStreams(ctx, o)
}

func startServer(o Options) (*server.Server, error) {
	ns, err := server.NewServer(&server.Options{
		ServerName: "aka",
		DontListen: true,
		NoSigs:     true,
		NoLog:      true,
		JetStream:  true,
		StoreDir:   o.Dir,
		// Without it a power cut loses everything that was acknowledged since the last periodic sync.
		SyncAlways:         true,
		MaxPayload:         maxPayload,
		MaxPending:         64 << 20,
		JetStreamMaxStore:  1 << 50, // the streams have limits of their own
		JetStreamMaxMemory: 1 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", o.Dir, err)
	}
	ns.Start()
	if !ns.ReadyForConnections(serverStartTimeout) {
		ns.Shutdown()
		return nil, fmt.Errorf("open journal %s: the embedded server was not ready after %s", o.Dir, serverStartTimeout)
	}
	return ns, nil
}

func (s *store) openStreams(ctx context.Context, o Options) (err error) {
	s.calls, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: callsStream, Subjects: []string{callsTopic},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxBytes: int64(o.MaxBytes), AllowDirect: true,
		// The log's own dedupe is by call; the server's, by frame, would only cost memory.
		Duplicates: 100 * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("open journal %s: stream %s: %w", o.Dir, callsStream, err)
	}
	// Its limits are not the engine's to keep: that would drop dead letters without a word.
	s.dead, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: deadStream, Subjects: []string{deadTopic + ">"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		AllowDirect: true, Duplicates: repeatWindow,
	})
	if err != nil {
		return fmt.Errorf("open journal %s: stream %s: %w", o.Dir, deadStream, err)
	}
	s.parked, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: parkedStream, Subjects: []string{parkedTopic + ">"},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxBytes: max(int64(o.MaxBytes)/4, 1<<20), AllowDirect: true, Duplicates: repeatWindow,
	})
	if err != nil {
		return fmt.Errorf("open journal %s: stream %s: %w", o.Dir, parkedStream, err)
	}
	s.kv, err = s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: progressKV, History: 1, Storage: jetstream.FileStorage})
	if err != nil {
		return fmt.Errorf("open journal %s: bucket %s: %w", o.Dir, progressKV, err)
	}
	s.merges, err = s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: mergesKV, History: 1, Storage: jetstream.FileStorage})
	if err == nil {
		s.merged, err = s.js.Stream(ctx, mergesStream)
	}
	if err != nil {
		return fmt.Errorf("open journal %s: bucket %s: %w", o.Dir, mergesKV, err)
	}
	return nil
}

// close releases everything that was opened. What was acknowledged is on disk already.
func (s *store) close() {
	s.shutdown()
	_ = s.lock.Close()
}

// shutdown ends the engine and keeps the folder.
func (s *store) shutdown() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
}

// lockFolder makes the data folder and takes it for this process. The lock goes with the process, however it ends.
func lockFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w; the folder must belong to the user that runs aka, and be writable", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		_ = f.Close()
		return nil, fmt.Errorf("open journal %s: in use by another aka (process %s)", dir, strings.TrimSpace(string(owner)))
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return f, nil
}

// rawFrame is a stored message.
type rawFrame struct {
	seq     uint64
	at      time.Time
	subject string
	id      string // by which a second write of it is recognized
	data    []byte
}

// size is what the message takes on disk.
func (f *rawFrame) size() int { return messageSize(f.subject, f.id, f.data) }

func messageSize(subject, id string, data []byte) int {
	size := recordMin + len(subject) + len(data)
	if id != "" {
		size += 4 + len("NATS/1.0\r\n") + len(jetstream.MsgIDHeader) + len(": \r\n\r\n") + len(id)
	}
	return size
}

// Bounds on one read of the log.
const (
	readMessages = 256
	readBytes    = 4 << 20
)

// readFrom returns the frames at seq and after, in order, as many as one read gives; none when there are none. A gap shows
// in the sequences. startTime, when set, replaces seq.
func (s *store) readFrom(ctx context.Context, seq uint64, startTime *time.Time) ([]rawFrame, error) {
	request := directGet{Seq: seq, StartTime: startTime}
	if startTime != nil {
		request.Seq = 0
	}
	return s.get(ctx, callsStream, request)
}

// get reads as many messages of a stream as one read gives; none when there are none.
func (s *store) get(ctx context.Context, stream string, request directGet) ([]rawFrame, error) {
	request.Batch, request.MaxBytes = readMessages, readBytes
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inbox := s.conn.NewRespInbox()
	replies, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = replies.Unsubscribe() }()
	// A batch is bounded in count and bytes, and so is what waits here.
	_ = replies.SetPendingLimits(-1, -1)
	if err := s.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, err
	}
	var frames []rawFrame
	for {
		reply, err := replies.NextMsgWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("read %s from %d: %w", stream, request.Seq, err)
		}
		switch status := reply.Header.Get("Status"); status {
		case "":
		case "204", "404": // the end of the batch, nothing there
			return frames, nil
		default:
			return nil, fmt.Errorf("read %s from %d: status %s %s", stream, request.Seq, status, reply.Header.Get("Description"))
		}
		frame, err := rawFrameOf(reply)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
}

// findFrame looks into the files for the first frame at seq or after that is sound there; nil when there is none. It is the
// way past a frame that the engine does not give, and costs the reading of a block.
func (s *store) findFrame(seq uint64) (*rawFrame, error) {
	files, err := blockFiles(msgsOf(s.dir, callsStream))
	if err != nil {
		return nil, err
	}
	start, err := blockOf(files, seq)
	if err != nil {
		return nil, err
	}
	var found *rawFrame
	for _, file := range files[max(start, 0):] {
		block, err := readBlock(file.path, nil)
		if err != nil {
			return nil, err
		}
		newBlockScanner(callsStream, file.number).scan(block, func(r record) {
			if found == nil && r.seq >= seq && !r.tombstone && !r.erased {
				found = &rawFrame{seq: r.seq, at: time.Unix(0, r.at), data: r.payload}
			}
		})
		if found != nil {
			break
		}
	}
	return found, nil
}

// blockOf returns the index of the last block that begins at seq or before; -1 when there is none.
func blockOf(files []blockFile, seq uint64) (index int, err error) {
	index = -1
	for i := range files {
		first, err := firstSeq(files[i].path)
		if err != nil {
			return -1, err
		}
		if first > 0 && first <= seq {
			index = i
		}
	}
	return index, nil
}

// firstSeq returns the sequence at the front of a block, which may be damaged; 0 when there is none.
func firstSeq(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	var head [recordHead]byte
	if _, err := io.ReadFull(f, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(head[4:]) &^ (erasedBit | tombstoneBit), nil
}

type directGet struct {
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	NextFor   string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch"`
	MaxBytes  int        `json:"max_bytes"`
}

func rawFrameOf(m *nats.Msg) (f rawFrame, err error) {
	if f.seq, err = strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64); err != nil {
		return f, fmt.Errorf("read the log: sequence: %w", err)
	}
	if f.at, err = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer)); err != nil {
		return f, fmt.Errorf("read the log: time: %w", err)
	}
	f.subject, f.id, f.data = m.Header.Get(jetstream.SubjectHeader), m.Header.Get(jetstream.MsgIDHeader), m.Data
	return f, nil
}

// bounds returns the sequences of the first and last frame that the log holds. A log that was emptied has first = last+1; one
// that never held any, 0 for both.
func (s *store) bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := s.calls.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// isWhole tells whether the log ends with that frame and lacks none before it, back to its first.
func (s *store) isWhole(ctx context.Context, last uint64) (bool, error) {
	info, err := s.calls.Info(ctx)
	if err != nil {
		return false, err
	}
	return info.State.LastSeq == last && info.State.NumDeleted == 0, nil
}

// errCodeStoreFailed is JetStream's error code, which nats.go does not name, of a stream that has reached its size, and of a
// write that failed.
const errCodeStoreFailed jetstream.ErrorCode = 10077

func isStoreFailed(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errCodeStoreFailed
}

// purge drops the frames below keep.
func (s *store) purge(ctx context.Context, keep uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.calls.Purge(ctx, jetstream.WithPurgeSequence(keep))
}

// each calls visit for the messages of a stream that match the subject, from a sequence on, until it returns false.
func (s *store) each(ctx context.Context, stream jetstream.Stream, subject string, from uint64, visit func(id uint64, data []byte) (bool, error)) error {
	for {
		stored, err := s.get(ctx, stream.CachedInfo().Config.Name, directGet{Seq: from, NextFor: subject})
		if err != nil || len(stored) == 0 {
			return err
		}
		for i := range stored {
			more, err := visit(stored[i].seq, stored[i].data)
			if err != nil || !more {
				return err
			}
		}
		from = stored[len(stored)-1].seq + 1
	}
}
