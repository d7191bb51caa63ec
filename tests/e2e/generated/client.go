// Takes a tunnel from creation to deletion with the client that oapi-codegen makes of the OpenAPI document.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"client/warren"
)

func check(ok bool, what string, got ...any) {
	if !ok {
		fmt.Fprintln(os.Stderr, append([]any{what}, got...)...)
		os.Exit(1)
	}
}

func do[T any](answer T, err error) T {
	check(err == nil, "request:", err)
	return answer
}

func pointer[T any](value T) *T { return &value }

func input(id, key, peer, address, endpoint string) warren.TunnelInput {
	return warren.TunnelInput{Id: &id, Spec: warren.Spec{
		Interface: warren.Interface{Addresses: []string{address}, PrivateKey: &key},
		Peers:     &[]warren.Peer{{PublicKey: &peer, Endpoint: &endpoint, AllowedIps: &[]string{"0.0.0.0/0"}}},
		Proxy:     &warren.Proxy{Listen: &[]string{"127.0.0.1:0"}},
	}}
}

func create(ctx context.Context, client *warren.ClientWithResponses, key, peer, endpoint string) *warren.AppliedTunnel {
	good := input("generated", key, peer, "10.99.0.2", endpoint)
	made := do(client.CreateTunnelWithResponse(ctx, &warren.CreateTunnelParams{Wait: pointer(warren.CreateTunnelParamsWaitUp)}, good)).JSON201
	check(made != nil && made.Applied == warren.AppliedTunnelAppliedCreated, "created:", made)
	check(made.Status.State == warren.TunnelStateUp && len(made.Status.Listen) == 1, "up:", made.Status)
	again := do(client.CreateTunnelWithResponse(ctx, nil, good)).ApplicationproblemJSON409
	check(again != nil && again.Code == warren.ProblemCodeTunnelExists, "a second one is refused:", again)
	bad := do(client.CreateTunnelWithResponse(ctx, nil, input("bad", key, peer, "10.99.0.2/99", endpoint))).ApplicationproblemJSON422
	check(bad != nil && bad.Errors != nil && (*bad.Errors)[0].Pointer == "/spec/interface/addresses/0", "a fault has a pointer:", bad)
	return made
}

func change(ctx context.Context, client *warren.ClientWithResponses, made *warren.AppliedTunnel) {
	list := do(client.ListTunnelsWithResponse(ctx, &warren.ListTunnelsParams{View: pointer(warren.ListTunnelsParamsViewFull)})).JSON200
	check(list != nil && len(list.Tunnels) == 2 && list.Tunnels[1].Id == "generated", "listed:", list)
	patch := warren.MergePatch{"labels": map[string]string{"made-by": "a generator"}}
	params := &warren.PatchTunnelParams{IfMatch: &made.Etag}
	changed := do(client.PatchTunnelWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, "generated", params, patch)).JSON200
	check(changed != nil && changed.Labels["made-by"] == "a generator" && changed.Etag != made.Etag, "changed:", changed)
	late := do(client.PatchTunnelWithApplicationMergePatchPlusJSONBodyWithResponse(ctx, "generated", params, patch)).ApplicationproblemJSON412
	check(late != nil && late.Code == warren.ProblemCodePreconditionFailed, "an old ETag is refused:", late)
}

func readEvents(ctx context.Context, client *warren.ClientWithResponses) {
	ndjson := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Accept", "application/x-ndjson")
		return nil
	}
	stream := do(client.StreamEvents(ctx, &warren.StreamEventsParams{Since: pointer(int64(0))}, ndjson))
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for _, id := range []string{"far", "generated"} {
		for {
			var event warren.Event
			check(lines.Scan(), "the stream goes on:", lines.Err())
			check(json.Unmarshal(lines.Bytes(), &event) == nil, "an event:", lines.Text())
			if event.Type == warren.EventTypeTunnelCreated {
				check(event.Tunnel != nil && *event.Tunnel == id, "created in this order:", lines.Text())
				break
			}
		}
	}
}

func main() {
	address, token, port, key, peer := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	ctx := context.Background()
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	client := do(warren.NewClientWithResponses("http://"+address, warren.WithRequestEditorFn(authorize)))
	check(do(client.GetVersionWithResponse(ctx)).JSON200.Name == "warren", "the version")
	made := create(ctx, client, key, peer, "127.0.0.1:"+port)
	change(ctx, client, made)
	readEvents(ctx, client)
	check(do(client.DeleteTunnelWithResponse(ctx, "generated", nil)).StatusCode() == 204, "deleted")
	gone := do(client.GetTunnelWithResponse(ctx, "generated", nil)).ApplicationproblemJSON404
	check(gone != nil && gone.Code == warren.ProblemCodeNotFound, "gone:", gone)
	fmt.Println("done")
}
