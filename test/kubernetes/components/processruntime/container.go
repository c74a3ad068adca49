package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type container struct {
	id      string
	sandbox *sandbox
	config  *runtimeapi.ContainerConfig
	logPath string
	created int64

	mu       sync.Mutex // of all below
	state    runtimeapi.ContainerState
	started  int64
	finished int64
	exitCode int32
	reason   string
	message  string
	memory   int64 // limit in bytes; 0: none
	pid      int   // of the command, as this process sees it; 0: not running
	bwrap    int   // of bubblewrap
	log      *logFile
	over     chan struct{} // closed when it has ended and its log is complete
}

func (r *runtimeService) container(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "container %q not found", id)
}

func (r *runtimeService) forget(c *container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.containers, c.id)
	_ = os.Remove(c.logPath)
}

func (r *runtimeService) killAll() {
	r.mu.Lock()
	var all []*container
	for _, c := range r.containers {
		all = append(all, c)
	}
	r.mu.Unlock()
	for _, c := range all {
		c.stop(0)
	}
}

func (r *runtimeService) CreateContainer(_ context.Context, q *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[q.GetPodSandboxId()]
	if s == nil {
		return nil, status.Errorf(codes.NotFound, "sandbox %q not found", q.GetPodSandboxId())
	}
	config := q.GetConfig()
	c := &container{
		id: newID(), sandbox: s, config: config, created: time.Now().UnixNano(),
		logPath: filepath.Join(s.config.GetLogDirectory(), config.GetLogPath()),
		state:   runtimeapi.ContainerState_CONTAINER_CREATED,
		memory:  config.GetLinux().GetResources().GetMemoryLimitInBytes(),
		over:    make(chan struct{}),
	}
	r.containers[c.id] = c
	return &runtimeapi.CreateContainerResponse{ContainerId: c.id}, nil
}

func (r *runtimeService) StartContainer(_ context.Context, q *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

func (r *runtimeService) StopContainer(_ context.Context, q *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	if c, err := r.container(q.GetContainerId()); err == nil {
		c.stop(time.Duration(q.GetTimeout()) * time.Second)
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

func (r *runtimeService) RemoveContainer(_ context.Context, q *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	if c, err := r.container(q.GetContainerId()); err == nil {
		c.stop(0)
		r.forget(c)
	}
	return &runtimeapi.RemoveContainerResponse{}, nil
}

func (c *container) imageRefs() (image *runtimeapi.ImageSpec, reference string) {
	spec := c.config.GetImage()
	written := spec.GetUserSpecifiedImage()
	if written == "" {
		written = spec.GetImage()
	}
	name, reference := normalise(written)
	return &runtimeapi.ImageSpec{Image: name}, reference
}

func (r *runtimeService) ListContainers(_ context.Context, q *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	f, answer := q.GetFilter(), &runtimeapi.ListContainersResponse{}
	for _, c := range r.filtered(f.GetId(), f.GetPodSandboxId(), f.GetLabelSelector()) {
		c.mu.Lock()
		state := c.state
		c.mu.Unlock()
		if f.GetState() != nil && f.GetState().GetState() != state {
			continue
		}
		image, reference := c.imageRefs()
		answer.Containers = append(answer.Containers, &runtimeapi.Container{
			Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.GetMetadata(), Image: image, ImageRef: reference, ImageId: reference,
			State: state, CreatedAt: c.created, Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations()})
	}
	return answer, nil
}

func (r *runtimeService) filtered(id, sandbox string, labels map[string]string) (found []*container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if (id == "" || id == c.id) && (sandbox == "" || sandbox == c.sandbox.id) && matches(labels, c.config.GetLabels()) {
			found = append(found, c)
		}
	}
	return found
}

func (r *runtimeService) ContainerStatus(_ context.Context, q *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	image, reference := c.imageRefs()
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.GetMetadata(), State: c.state, CreatedAt: c.created, StartedAt: c.started, FinishedAt: c.finished,
		ExitCode: c.exitCode, Image: image, ImageRef: reference, ImageId: reference, Reason: c.reason, Message: c.message,
		Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations(), Mounts: c.config.GetMounts(), LogPath: c.logPath}}, nil
}

func (r *runtimeService) UpdateContainerResources(_ context.Context, q *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit := q.GetLinux().GetMemoryLimitInBytes(); limit > 0 {
		c.memory = limit
	}
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

func (r *runtimeService) ReopenContainerLog(_ context.Context, q *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	log := c.log
	c.mu.Unlock()
	if log == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "container %q is not running", c.id)
	}
	if err := log.reopen(); err != nil {
		return nil, status.Error(codes.Unknown, err.Error())
	}
	return &runtimeapi.ReopenContainerLogResponse{}, nil
}

func (c *container) stats() *runtimeapi.ContainerStats {
	c.mu.Lock()
	pid := c.pid
	c.mu.Unlock()
	now, used := time.Now().UnixNano(), uint64(0)
	if pid != 0 {
		used = uint64(treeResident(pid))
	}
	disk := &runtimeapi.FilesystemUsage{Timestamp: now, FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: "/"},
		UsedBytes: &runtimeapi.UInt64Value{}, InodesUsed: &runtimeapi.UInt64Value{}}
	return &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{Id: c.id, Metadata: c.config.GetMetadata(), Labels: c.config.GetLabels(), Annotations: c.config.GetAnnotations()},
		Cpu:        &runtimeapi.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &runtimeapi.UInt64Value{}},
		Memory: &runtimeapi.MemoryUsage{Timestamp: now, WorkingSetBytes: &runtimeapi.UInt64Value{Value: used},
			UsageBytes: &runtimeapi.UInt64Value{Value: used}, RssBytes: &runtimeapi.UInt64Value{Value: used}},
		WritableLayer: disk}
}

func (r *runtimeService) ContainerStats(_ context.Context, q *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	c, err := r.container(q.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ContainerStatsResponse{Stats: c.stats()}, nil
}

func (r *runtimeService) ListContainerStats(_ context.Context, q *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	f, answer := q.GetFilter(), &runtimeapi.ListContainerStatsResponse{}
	for _, c := range r.filtered(f.GetId(), f.GetPodSandboxId(), f.GetLabelSelector()) {
		answer.Stats = append(answer.Stats, c.stats())
	}
	return answer, nil
}
