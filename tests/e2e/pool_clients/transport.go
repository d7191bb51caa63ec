// Asks through a pool by http.Transport: a goroutine for each key. Ends on SIGTERM, with each request answered.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type record struct {
	Key    string  `json:"key"`
	Id     string  `json:"id"`
	Begin  float64 `json:"begin"`
	End    float64 `json:"end"`
	Status int     `json:"status,omitempty"`
	Body   string  `json:"body,omitempty"`
	Reason string  `json:"reason,omitempty"`
	Error  string  `json:"error,omitempty"`
}

func now() float64 {
	return float64(time.Now().UnixNano()) / 1e9
}

func ask(client *http.Client, target, key string, number int) record {
	made := record{Key: key, Id: fmt.Sprintf("%s-%d", key, number), Begin: now()}
	reply, err := client.Get(target + "/from/" + made.Id)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(reply.Body)
		reply.Body.Close()
	}
	made.End = now()
	if err != nil {
		made.Error = err.Error()
		return made
	}
	made.Status, made.Body, made.Reason = reply.StatusCode, string(body), reply.Header.Get("Proxy-Status")
	return made
}

func main() {
	proxy, target := os.Args[1], os.Args[2]
	period, _ := strconv.ParseFloat(os.Args[3], 64)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() { <-stop; close(ended) }()
	var all sync.WaitGroup
	var lock sync.Mutex
	out := json.NewEncoder(os.Stdout)
	for _, key := range os.Args[4:] {
		all.Add(1)
		go func(key string) {
			defer all.Done()
			way, _ := url.Parse("http://client-session-" + key + ":x@" + proxy)
			client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(way)}, Timeout: 40 * time.Second}
			for number := 0; ; number++ {
				select {
				case <-ended:
					return
				case <-time.After(time.Duration(period * float64(time.Second))):
				}
				made := ask(client, target, key, number)
				lock.Lock()
				out.Encode(made)
				lock.Unlock()
			}
		}(key)
	}
	all.Wait()
}
