package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// runtimeService keeps everything in memory: when it ends, so do its containers.
type runtimeService struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	state, podIP string

	mu         sync.Mutex // of both maps and of what the sandboxes hold
	sandboxes  map[string]*sandbox
	containers map[string]*container
}

// sandbox is a pod's frame. There is no process: pods share the machine's network.
type sandbox struct {
	id      string
	config  *runtimeapi.PodSandboxConfig
	handler string
	created int64
	ready   bool
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func (s *sandbox) stateOf() runtimeapi.PodSandboxState {
	if s.ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

func (r *runtimeService) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: "process", RuntimeVersion: "1.0.0", RuntimeApiVersion: "v1"}, nil
}

func (r *runtimeService) Status(context.Context, *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			{Type: runtimeapi.RuntimeReady, Status: true}, {Type: runtimeapi.NetworkReady, Status: true},
		}},
		RuntimeHandlers: []*runtimeapi.RuntimeHandler{{Name: "", Features: &runtimeapi.RuntimeHandlerFeatures{}}},
		Features:        &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: false},
	}, nil
}

func (r *runtimeService) UpdateRuntimeConfig(context.Context, *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
}

func (r *runtimeService) RunPodSandbox(_ context.Context, q *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	s := &sandbox{id: newID(), config: q.GetConfig(), handler: q.GetRuntimeHandler(), created: time.Now().UnixNano(), ready: true}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sandboxes[s.id] = s
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: s.id}, nil
}

// containersOf gives those of one sandbox.
func (r *runtimeService) containersOf(id string) (found []*container) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.sandbox.id == id {
			found = append(found, c)
		}
	}
	return found
}

func (r *runtimeService) StopPodSandbox(_ context.Context, q *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	for _, c := range r.containersOf(q.GetPodSandboxId()) {
		c.stop(0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandboxes[q.GetPodSandboxId()]; s != nil {
		s.ready = false
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

func (r *runtimeService) RemovePodSandbox(_ context.Context, q *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	for _, c := range r.containersOf(q.GetPodSandboxId()) {
		c.stop(0)
		r.forget(c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sandboxes, q.GetPodSandboxId())
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

func (r *runtimeService) PodSandboxStatus(_ context.Context, q *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[q.GetPodSandboxId()]
	if s == nil {
		return nil, status.Errorf(codes.NotFound, "sandbox %q not found", q.GetPodSandboxId())
	}
	answer := &runtimeapi.PodSandboxStatus{
		Id: s.id, Metadata: s.config.GetMetadata(), State: s.stateOf(), CreatedAt: s.created,
		Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations(), RuntimeHandler: s.handler,
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}},
	}
	if s.ready {
		answer.Network = &runtimeapi.PodSandboxNetworkStatus{Ip: r.podIP}
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: answer}, nil
}

// matches says whether all wanted labels are there.
func matches(wanted, labels map[string]string) bool {
	for k, v := range wanted {
		if labels[k] != v {
			return false
		}
	}
	return true
}

func (r *runtimeService) ListPodSandbox(_ context.Context, q *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, answer := q.GetFilter(), &runtimeapi.ListPodSandboxResponse{}
	for _, s := range r.sandboxes {
		if (f.GetId() != "" && f.GetId() != s.id) || (f.GetState() != nil && f.GetState().GetState() != s.stateOf()) ||
			!matches(f.GetLabelSelector(), s.config.GetLabels()) {
			continue
		}
		answer.Items = append(answer.Items, &runtimeapi.PodSandbox{
			Id: s.id, Metadata: s.config.GetMetadata(), State: s.stateOf(), CreatedAt: s.created,
			Labels: s.config.GetLabels(), Annotations: s.config.GetAnnotations(), RuntimeHandler: s.handler})
	}
	return answer, nil
}
