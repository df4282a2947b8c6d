//go:build tools

// Names the programs that scripts/cluster builds for a node's network.
package tools

import (
	_ "github.com/cilium/cilium/daemon"
	_ "github.com/cilium/cilium/plugins/cilium-cni"
)
