package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A line that is longer is written in pieces, as other runtimes do.
const maxLogLine = 16 << 10

// logFile is written in the format the kubelet reads: time, stream, F (a whole line)
// or P (a piece of one), text.
type logFile struct {
	mu   sync.Mutex
	path string
	file *os.File
}

func openLog(path string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l := &logFile{path: path}
	return l, l.reopen()
}

// reopen is called when the kubelet has moved the file aside.
func (l *logFile) reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

func (l *logFile) write(stream string, whole bool, text []byte) {
	tag := " P "
	if whole {
		tag = " F "
	}
	var b bytes.Buffer
	l.mu.Lock()
	defer l.mu.Unlock()
	// The time is taken under the lock, so that times in a file never go back.
	b.WriteString(time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z07:00"))
	b.WriteString(" " + stream + tag)
	b.Write(text)
	b.WriteByte('\n')
	_, _ = l.file.Write(b.Bytes())
}

// copy reads to the end of `from`.
func (l *logFile) copy(stream string, from io.Reader) {
	reader := bufio.NewReaderSize(from, maxLogLine)
	for {
		line, err := reader.ReadSlice('\n')
		switch {
		case err == nil:
			l.write(stream, true, line[:len(line)-1])
		case errors.Is(err, bufio.ErrBufferFull):
			l.write(stream, false, line)
		default:
			// What other runtimes write of a last line without an end.
			if len(line) > 0 {
				l.write(stream, false, line)
			}
			return
		}
	}
}
