// benchclient is the peer of bench/real.py: a bare client of an API server.
//
//	benchclient informer KUBECONFIG        a client-go informer on all Deployments; prints its count and waits
//	benchclient load URL HEADERS BODY N C  N posts of BODY over C connections; prints the figures as JSON
//
// HEADERS is a file of a JSON object. In BODY, a file, @I@ is the number of the post.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
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
	case len(args) == 6 && args[0] == "load":
		return load(args[1], args[2], args[3], args[4], args[5])
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

func load(url, headerFile, bodyFile, count, connections string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	headers := map[string]string{}
	text, err := os.ReadFile(headerFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &headers); err != nil {
		return err
	}
	body, err := os.ReadFile(bodyFile)
	if err != nil {
		return err
	}
	// The certificate is a test cluster's own, and on loopback.
	client := &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: c, MaxConnsPerHost: c,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	post := func(i int) error {
		request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(bytes.ReplaceAll(body, []byte("@I@"), []byte(strconv.Itoa(i)))))
		if err != nil {
			return err
		}
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		answer, err := client.Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusCreated {
			err = fmt.Errorf("%s: %.500s", answer.Status, said)
		}
		return err
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
				if err := post(i); err != nil {
					failure.CompareAndSwap(nil, err.Error())
				}
				took[i] = time.Since(at)
			}
		}()
	}
	wait.Wait()
	all := time.Since(began)
	if said := failure.Load(); said != nil {
		return fmt.Errorf("%s", said)
	}
	slices.Sort(took)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"perSecond": float64(n) / all.Seconds(), "p50": milliseconds(took[n/2]), "p99": milliseconds(took[n*99/100])})
}
