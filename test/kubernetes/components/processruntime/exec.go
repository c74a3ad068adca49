package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What a probe or a hook may print; the kubelet cuts it far below.
const maxExecOutput = 16 << 20

// limited keeps what fits and drops the rest.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxExecOutput - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// inside gives the argv that runs a command in a running container.
func (c *container) inside(command []string) ([]string, []string, error) {
	c.mu.Lock()
	pid := c.pid
	c.mu.Unlock()
	if pid == 0 {
		return nil, nil, status.Errorf(codes.FailedPrecondition, "container %q is not running", c.id)
	}
	if len(command) == 0 {
		return nil, nil, status.Error(codes.InvalidArgument, "a command is needed")
	}
	_, environment, err := c.confined()
	if err != nil {
		return nil, nil, err
	}
	folder := c.config.GetWorkingDir()
	if folder == "" {
		folder = "/"
	}
	argv := []string{"/usr/bin/nsenter", "--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--pid", "--root", "--wd=" + folder, "--"}
	return append(argv, command...), environment, nil
}

func (r *runtimeService) ExecSync(ctx context.Context, q *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	argv, environment, err := c.inside(q.GetCmd())
	if err != nil {
		return nil, err
	}
	if q.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(q.GetTimeout())*time.Second)
		defer cancel()
	}
	var stdout, stderr limited
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Env, command.Stdout, command.Stderr = environment, &stdout, &stderr
	command.WaitDelay = time.Second
	err = command.Run()
	if ctx.Err() != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out", q.GetCmd())
	}
	answer := &runtimeapi.ExecSyncResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		answer.ExitCode = int32(exit.ExitCode())
	} else if err != nil {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	return answer, nil
}
