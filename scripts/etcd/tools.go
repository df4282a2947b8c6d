//go:build tools

// Names the program that scripts/cluster builds, so that `go mod tidy` keeps what it needs.
package tools

import _ "go.etcd.io/etcd/server/v3"
