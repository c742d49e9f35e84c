// SPDX-License-Identifier: Apache-2.0

// One call through libcni, the library by which container runtimes drive plugins: a request as JSON on standard input, the
// answer as JSON on standard output. Run by libcni.test.ts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

type request struct {
	Verb        string          `json:"verb"`
	PluginDir   string          `json:"pluginDir"`
	CacheDir    string          `json:"cacheDir"`
	List        json.RawMessage `json:"list"`
	ContainerID string          `json:"containerID"`
	NetNS       string          `json:"netns"`
	IfName      string          `json:"ifName"`
	// Pairs of CNI_ARGS.
	Args  [][2]string          `json:"args"`
	Valid []types.GCAttachment `json:"valid"`
}

type reply struct {
	Result   types.Result `json:"result,omitempty"`
	Versions []string     `json:"versions,omitempty"`
	Error    *failure     `json:"error,omitempty"`
}

type failure struct {
	// Zero when the error is libcni's own.
	Code    uint   `json:"code"`
	Message string `json:"message"`
}

func call(r request) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cni := libcni.NewCNIConfigWithCacheDir([]string{r.PluginDir}, r.CacheDir, nil)
	list, err := libcni.ConfListFromBytes(r.List)
	if err != nil {
		return reply{}, err
	}
	runtime := &libcni.RuntimeConf{ContainerID: r.ContainerID, NetNS: r.NetNS, IfName: r.IfName, Args: r.Args}
	switch r.Verb {
	case "ADD":
		result, err := cni.AddNetworkList(ctx, list, runtime)
		return reply{Result: result}, err
	case "CHECK":
		return reply{}, cni.CheckNetworkList(ctx, list, runtime)
	case "DEL":
		return reply{}, cni.DelNetworkList(ctx, list, runtime)
	case "STATUS":
		return reply{}, cni.GetStatusNetworkList(ctx, list)
	case "GC":
		return reply{}, cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: r.Valid})
	case "VERSION":
		info, err := cni.GetVersionInfo(ctx, "terway")
		if err != nil {
			return reply{}, err
		}
		return reply{Versions: info.SupportedVersions()}, nil
	case "VALIDATE":
		_, err := cni.ValidateNetworkList(ctx, list)
		return reply{}, err
	}
	return reply{}, fmt.Errorf("verb %q is none of libcni's", r.Verb)
}

func main() {
	var r request
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	answer, err := call(r)
	if err != nil {
		failed := failure{Message: err.Error()}
		var plugin *types.Error
		if errors.As(err, &plugin) {
			failed.Code = plugin.Code
		}
		answer = reply{Error: &failed}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
