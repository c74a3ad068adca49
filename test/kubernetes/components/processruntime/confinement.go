package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	bwrap       = "/usr/bin/bwrap"
	setpriv     = "/usr/bin/setpriv"
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// systemArguments show a container the machine's programs and libraries, and of /etc
// what name look-ups and TLS need; the same that the dev cluster shows.
func systemArguments() []string {
	out := []string{bwrap, "--unshare-pid", "--unshare-uts", "--unshare-ipc", "--die-with-parent", "--as-pid-1", "--ro-bind", "/usr", "/usr"}
	for _, path := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		if target, err := os.Readlink(path); err == nil {
			out = append(out, "--symlink", target, path)
		} else if _, err := os.Stat(path); err == nil {
			out = append(out, "--ro-bind", path, path)
		}
	}
	for _, path := range []string{"alternatives", "group", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "protocols",
		"resolv.conf", "services", "ssl/certs", "ca-certificates"} {
		out = append(out, "--ro-bind-try", "/etc/"+path, "/etc/"+path)
	}
	return append(out, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/root", "--tmpfs", "/run", "--tmpfs", "/var", "--dir", "/var/tmp")
}

func canConfine() error {
	arguments := append(systemArguments(), "/usr/bin/true")
	if output, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// onHost is the file behind a path as the container sees it; "" where there is none.
func onHost(path string, mounts []*runtimeapi.Mount) string {
	real, longest := path, -1
	for _, m := range mounts {
		at := m.GetContainerPath()
		if (path == at || strings.HasPrefix(path, at+"/")) && len(at) > longest {
			real, longest = m.GetHostPath()+strings.TrimPrefix(path, at), len(at)
		}
	}
	if info, err := os.Stat(real); err != nil || info.IsDir() {
		return ""
	}
	return real
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// program finds what argv[0] means inside the container.
func (c *container) program(name, path string) (string, error) {
	mounts := c.config.GetMounts()
	if strings.Contains(name, "/") {
		inside := name
		if !filepath.IsAbs(name) {
			inside = filepath.Join("/", c.config.GetWorkingDir(), name)
		}
		real := onHost(inside, mounts)
		if real == "" {
			return "", startError(name, fmt.Sprintf("stat %s: no such file or directory", name))
		}
		if !executable(real) {
			return "", startError(name, "permission denied")
		}
		return inside, nil
	}
	for _, folder := range strings.Split(path, ":") {
		inside := filepath.Join(folder, name)
		if real := onHost(inside, mounts); folder != "" && real != "" && executable(real) {
			return inside, nil
		}
	}
	return "", startError(name, "executable file not found in $PATH")
}

// confined gives what to start: bubblewrap, the container's file system, the command.
// An image without a command of its own, as all are here, does nothing for ever.
func (c *container) confined() (argv, environment []string, err error) {
	config := c.config
	values := map[string]string{"PATH": defaultPath, "HOME": "/root", "HOSTNAME": c.sandbox.config.GetHostname()}
	order := []string{"PATH", "HOSTNAME", "HOME"}
	for _, e := range config.GetEnvs() {
		if _, known := values[e.GetKey()]; !known {
			order = append(order, e.GetKey())
		}
		values[e.GetKey()] = string(e.GetValue()) // bytes since 1.36, text before
	}
	for _, key := range order {
		environment = append(environment, key+"="+values[key])
	}
	command := append(slices.Clone(config.GetCommand()), config.GetArgs()...)
	if len(command) == 0 {
		command = []string{"sleep", "infinity"}
	}
	program, err := c.program(command[0], values["PATH"])
	if err != nil {
		return nil, nil, err
	}
	argv = append(systemArguments(), "--info-fd", "3")
	if hostname := c.sandbox.config.GetHostname(); hostname != "" {
		argv = append(argv, "--hostname", hostname)
	}
	// Those that others lie in come first.
	mounts := slices.Clone(config.GetMounts())
	slices.SortStableFunc(mounts, func(a, b *runtimeapi.Mount) int {
		return strings.Count(a.GetContainerPath(), "/") - strings.Count(b.GetContainerPath(), "/")
	})
	for _, m := range mounts {
		how := "--bind"
		if m.GetReadonly() {
			how = "--ro-bind"
		}
		argv = append(argv, how, m.GetHostPath(), m.GetContainerPath())
	}
	folder := config.GetWorkingDir()
	if folder == "" {
		folder = "/"
	} else if folder != "/" {
		argv = append(argv, "--dir", folder)
	}
	argv = append(argv, "--chdir", folder, "--")
	if security := config.GetLinux().GetSecurityContext(); security.GetRunAsUser().GetValue() != 0 {
		group := security.GetRunAsGroup().GetValue()
		argv = append(argv, setpriv, fmt.Sprintf("--reuid=%d", security.GetRunAsUser().GetValue()), fmt.Sprintf("--regid=%d", group), "--clear-groups", "--")
	}
	return append(append(argv, program), command[1:]...), environment, nil
}
