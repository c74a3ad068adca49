// benchclient is the peer of bench/real.py: a bare client of an API server.
//
//	benchclient informer KUBECONFIG  a client-go informer on all Deployments; prints its count and waits
//	benchclient load PLAN N C        N times the steps of PLAN over C connections; prints the figures as JSON
//
// PLAN is a JSON file: {"headers": {...}, "steps": [{"method", "url", "type", "body"}, ...]}. The steps of one time
// follow each other. In URL and body, @I@ is the number of the time.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "informer":
		return inform(args[1])
	case len(args) == 4 && args[0] == "load":
		return load(args[1], args[2], args[3])
	}
	return fmt.Errorf("see the comment above main")
}

// inform holds every Deployment as an informer does by default: whole.
func inform(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Apps().V1().Deployments().Informer()
	forever := make(chan struct{})
	factory.Start(forever)
	factory.WaitForCacheSync(forever)
	fmt.Println(len(informer.GetStore().ListKeys()))
	_, err = io.Copy(io.Discard, os.Stdin) // until whoever started it goes
	return err
}

type plan struct {
	Headers map[string]string `json:"headers"`
	Steps   []struct {
		Method string `json:"method"`
		URL    string `json:"url"`
		Type   string `json:"type"`
		Body   string `json:"body"`
	} `json:"steps"`
}

func load(planFile, count, connections string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	var todo plan
	text, err := os.ReadFile(planFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &todo); err != nil {
		return err
	}
	// The certificate is a test cluster's own, and on loopback.
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: c, MaxConnsPerHost: c,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	all := func(i int) error {
		for _, step := range todo.Steps {
			fill := strings.NewReplacer("@I@", strconv.Itoa(i))
			request, err := http.NewRequest(step.Method, fill.Replace(step.URL), strings.NewReader(fill.Replace(step.Body)))
			if err != nil {
				return err
			}
			for name, value := range todo.Headers {
				request.Header.Set(name, value)
			}
			if step.Type != "" {
				request.Header.Set("Content-Type", step.Type)
			}
			answer, err := client.Do(request)
			if err != nil {
				return err
			}
			said, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil {
				return err
			}
			if answer.StatusCode/100 != 2 {
				return fmt.Errorf("%s %s: %s: %.500s", step.Method, request.URL.Path, answer.Status, said)
			}
		}
		return nil
	}

	took := make([]time.Duration, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	var failure atomic.Value
	began := time.Now()
	for range c {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := int(next.Add(1)) - 1; i < n && failure.Load() == nil; i = int(next.Add(1)) - 1 {
				at := time.Now()
				if err := all(i); err != nil {
					failure.CompareAndSwap(nil, err.Error())
				}
				took[i] = time.Since(at)
			}
		}()
	}
	wait.Wait()
	elapsed := time.Since(began)
	if said := failure.Load(); said != nil {
		return fmt.Errorf("%s", said)
	}
	slices.Sort(took)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"perSecond": float64(n) / elapsed.Seconds(), "p50": milliseconds(took[n/2]), "p99": milliseconds(took[n*99/100])})
}
