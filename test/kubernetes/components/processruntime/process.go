package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// How often memory is looked at. What grows and ends within that time is not
// killed; a process that stays above its limit is.
const memoryPoll = 100 * time.Millisecond

// startError is worded as containerd and runc word it.
func startError(program, why string) error {
	return fmt.Errorf("failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "+
		"unable to start container process: error during container init: exec: %q: %s: unknown", program, why)
}

func (c *container) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != runtimeapi.ContainerState_CONTAINER_CREATED {
		return fmt.Errorf("container is in state %s", c.state)
	}
	fail := func(err error) error {
		now := time.Now().UnixNano()
		c.state, c.finished, c.exitCode, c.reason, c.message = runtimeapi.ContainerState_CONTAINER_EXITED, now, 128, "StartError", err.Error()
		close(c.over)
		return err
	}
	argv, environment, err := c.confined()
	if err != nil {
		return fail(err)
	}
	log, err := openLog(c.logPath)
	if err != nil {
		return fail(err)
	}
	infoRead, infoWrite, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer infoRead.Close()
	command := exec.Command(argv[0], argv[1:]...)
	command.Env = environment
	command.Dir = "/"
	command.ExtraFiles = []*os.File{infoWrite} // number 3, see confined
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err1 := command.StdoutPipe()
	stderr, err2 := command.StderrPipe()
	if err := errors.Join(err1, err2, command.Start()); err != nil {
		infoWrite.Close()
		log.close()
		return fail(startError(argv[0], err.Error()))
	}
	infoWrite.Close()
	var info struct {
		Child int `json:"child-pid"`
	}
	// Nothing comes where bubblewrap could not make the container; it says why on stderr.
	_ = json.NewDecoder(io.LimitReader(infoRead, 4096)).Decode(&info)
	c.state, c.started, c.log = runtimeapi.ContainerState_CONTAINER_RUNNING, time.Now().UnixNano(), log
	c.pid, c.bwrap = info.Child, command.Process.Pid
	go c.follow(command, stdout, stderr)
	return nil
}

// follow copies the output and records the end.
func (c *container) follow(command *exec.Cmd, stdout, stderr io.Reader) {
	done := make(chan struct{})
	go c.watchMemory(done)
	var copying sync.WaitGroup
	for stream, from := range map[string]io.Reader{"stdout": stdout, "stderr": stderr} {
		copying.Add(1)
		go func() {
			defer copying.Done()
			c.log.copy(stream, from)
		}()
	}
	copying.Wait()
	_ = command.Wait()
	close(done)
	c.log.close()
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exitCode = int32(status.ExitStatus())
	if status.Signaled() {
		c.exitCode = 128 + int32(status.Signal())
	}
	switch {
	case c.reason == "OOMKilled":
		c.exitCode = 137
	case c.exitCode == 0:
		c.reason = "Completed"
	default:
		c.reason = "Error"
	}
	c.state, c.finished, c.pid, c.bwrap, c.log = runtimeapi.ContainerState_CONTAINER_EXITED, time.Now().UnixNano(), 0, 0, nil
	close(c.over)
}

func (c *container) watchMemory(done <-chan struct{}) {
	tick := time.NewTicker(memoryPoll)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		if c.memory > 0 && c.pid != 0 && treeResident(c.pid) > c.memory {
			c.reason = "OOMKilled"
			_ = syscall.Kill(c.pid, syscall.SIGKILL)
		}
		c.mu.Unlock()
	}
}

// stop sends SIGTERM, and SIGKILL after `grace`; it returns when the process has ended.
func (c *container) stop(grace time.Duration) {
	c.mu.Lock()
	running := c.state == runtimeapi.ContainerState_CONTAINER_RUNNING
	if running && grace > 0 && c.pid != 0 {
		_ = syscall.Kill(c.pid, syscall.SIGTERM)
	}
	c.mu.Unlock()
	if !running {
		return
	}
	if grace > 0 {
		select {
		case <-c.over:
			return
		case <-time.After(grace):
		}
	}
	c.mu.Lock()
	if c.pid != 0 {
		_ = syscall.Kill(c.pid, syscall.SIGKILL)
	}
	if c.bwrap != 0 {
		_ = syscall.Kill(c.bwrap, syscall.SIGKILL)
	}
	c.mu.Unlock()
	select {
	case <-c.over:
	case <-time.After(10 * time.Second): // the kubelet asks again
	}
}

// treeResident is the resident memory of a process and all below it, in bytes.
func treeResident(root int) int64 {
	children := map[int][]int{}
	entries, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, entry := range entries {
		content, err := os.ReadFile(entry)
		if err != nil {
			continue
		}
		// The name, in parentheses, may hold anything.
		fields := strings.Fields(string(content[strings.LastIndex(string(content), ")")+1:]))
		if len(fields) < 2 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(entry)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	total, todo := int64(0), []int{root}
	for len(todo) > 0 {
		pid := todo[0]
		todo = append(todo[1:], children[pid]...)
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		if fields := strings.Fields(string(content)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			total += pages * int64(os.Getpagesize())
		}
	}
	return total
}
