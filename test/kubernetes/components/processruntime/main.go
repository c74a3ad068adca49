// Processruntime is a container runtime whose containers are processes of this
// machine, confined by bubblewrap. A kubelet talks to it by the Container Runtime
// Interface (CRI), so everything about a pod that a kubelet decides (environment,
// volumes, order, restarts, deadlines, eviction, status, logs) is decided by a real
// one; only the last step, starting a process in an image's file system, is ours:
// an image is a name, and the file system is the machine's own, read-only.
//
// For tests on a machine that cannot or should not run containers. No network
// isolation, no resource limits but memory.
package main

import (
	"flag"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A pod's manifest, its ConfigMaps and Secrets are within 1 MiB each; a container's
// environment may repeat them.
const maxMessageBytes = 16 << 20

func main() {
	socket := flag.String("socket", "", "path of the socket to serve the CRI on")
	state := flag.String("state", "", "folder for what the runtime keeps")
	podIP := flag.String("pod-ip", "", "address that all pods report; they share the machine's network")
	flag.Parse()
	if *socket == "" || *state == "" {
		log.Fatal("--socket and --state are needed")
	}
	if err := os.MkdirAll(*state, 0o700); err != nil {
		log.Fatal(err)
	}
	if err := canConfine(); err != nil {
		log.Fatalf("bubblewrap does not work on this machine, and pods need it: %v", err)
	}
	_ = os.Remove(*socket)
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		log.Fatal(err)
	}
	service := &runtimeService{state: *state, podIP: *podIP, sandboxes: map[string]*sandbox{}, containers: map[string]*container{}}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes))
	runtimeapi.RegisterRuntimeServiceServer(server, service)
	runtimeapi.RegisterImageServiceServer(server, &imageService{state: *state, present: map[string]*runtimeapi.Image{}})

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
	service.killAll()
}
