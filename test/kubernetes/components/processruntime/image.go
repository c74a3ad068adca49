package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageService serves images that are names only: each one can be pulled, except
// from hosts below .invalid, which by RFC 2606 are never there.
type imageService struct {
	runtimeapi.UnimplementedImageServiceServer
	state string

	mu      sync.Mutex
	present map[string]*runtimeapi.Image // by normalised name
}

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// normalise gives docker.io/library/busybox:1.36 for busybox:1.36, and the reference
// by digest that belongs to it: the digest that is written, or one made of the name.
func normalise(image string) (name, reference string) {
	rest, digest, _ := strings.Cut(image, "@")
	repository, tag := rest, "latest"
	if colon := strings.LastIndex(rest, ":"); colon > strings.LastIndex(rest, "/") {
		repository, tag = rest[:colon], rest[colon+1:]
	}
	first, _, several := strings.Cut(repository, "/")
	switch {
	case !several:
		repository = "docker.io/library/" + repository
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		repository = "docker.io/" + repository
	}
	if digestPattern.MatchString(digest) {
		return repository + "@" + digest, repository + "@" + digest
	}
	name = repository + ":" + tag
	return name, fmt.Sprintf("%s@sha256:%x", repository, sha256.Sum256([]byte(name)))
}

func hostOf(name string) string {
	host, _, _ := strings.Cut(name, "/")
	host, _, _ = strings.Cut(host, ":")
	return host
}

func (s *imageService) find(spec *runtimeapi.ImageSpec) *runtimeapi.Image {
	name, reference := normalise(spec.GetImage())
	if image := s.present[name]; image != nil {
		return image
	}
	for _, image := range s.present {
		if image.Id == spec.GetImage() || image.RepoDigests[0] == reference {
			return image
		}
	}
	return nil
}

func (s *imageService) ListImages(context.Context, *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &runtimeapi.ListImagesResponse{}
	for _, image := range s.present {
		answer.Images = append(answer.Images, image)
	}
	return answer, nil
}

func (s *imageService) ImageStatus(_ context.Context, r *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &runtimeapi.ImageStatusResponse{Image: s.find(r.GetImage())}, nil
}

func (s *imageService) PullImage(_ context.Context, r *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	name, reference := normalise(r.GetImage().GetImage())
	if host := hostOf(name); strings.HasSuffix(host, ".invalid") {
		return nil, status.Errorf(codes.Unknown, "failed to pull and unpack image %q: failed to resolve reference %q: failed to do request: dial tcp: lookup %s: no such host", name, name, host)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	image := &runtimeapi.Image{Id: reference[strings.Index(reference, "@")+1:], RepoDigests: []string{reference}, Size: 1, Spec: r.GetImage()}
	if !strings.Contains(name, "@") {
		image.RepoTags = []string{name}
	}
	s.present[name] = image
	return &runtimeapi.PullImageResponse{ImageRef: image.Id}, nil
}

func (s *imageService) RemoveImage(_ context.Context, r *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if image := s.find(r.GetImage()); image != nil {
		for name, other := range s.present {
			if other == image {
				delete(s.present, name)
			}
		}
	}
	return &runtimeapi.RemoveImageResponse{}, nil
}

func (s *imageService) ImageFsInfo(context.Context, *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	usage := fileSystemUsage(s.state)
	usage.UsedBytes = &runtimeapi.UInt64Value{Value: 1}
	usage.InodesUsed = &runtimeapi.UInt64Value{Value: 1}
	return &runtimeapi.ImageFsInfoResponse{
		ImageFilesystems:     []*runtimeapi.FilesystemUsage{usage},
		ContainerFilesystems: []*runtimeapi.FilesystemUsage{usage},
	}, nil
}

func fileSystemUsage(folder string) *runtimeapi.FilesystemUsage {
	var fs syscall.Statfs_t
	usage := &runtimeapi.FilesystemUsage{Timestamp: time.Now().UnixNano(), FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: folder}}
	if syscall.Statfs(folder, &fs) == nil {
		usage.UsedBytes = &runtimeapi.UInt64Value{Value: (fs.Blocks - fs.Bfree) * uint64(fs.Bsize)}
		usage.InodesUsed = &runtimeapi.UInt64Value{Value: fs.Files - fs.Ffree}
	}
	return usage
}
