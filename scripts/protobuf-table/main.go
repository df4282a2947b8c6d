// Command protobuf-table derives, from the Go types of the Kubernetes API, what Sallyport needs to read a request body
// in Kubernetes protobuf, and the cases that show that it reads it as Go does.
//
//	table.txt      how each message maps to JSON (compiled into control-plane-core)
//	objects.gz     objects in protobuf, each with the JSON that Go's json.Marshal gives for it (test)
//	quantities.tsv quantity texts and what Go makes of them (test)
//	yaml.jsonl     YAML texts and what sigs.k8s.io/yaml makes of them (test)
//
// Everything is a function of the pinned modules and of fixed seeds, so two runs give the same bytes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

func main() {
	sparse, err := 2, error(nil)
	if len(os.Args) == 4 {
		sparse, err = strconv.Atoi(os.Args[3])
	}
	if len(os.Args) < 3 || err != nil {
		fail(fmt.Errorf("usage: protobuf-table FOLDER-OF-TABLE FOLDER-OF-TESTDATA [OBJECTS-PER-KIND]"))
	}
	kinds := collect()
	table, err := newTable(kinds)
	if err != nil {
		fail(err)
	}
	write(filepath.Join(os.Args[1], "table.txt"), table.text())
	objects, err := objects(kinds, sparse)
	if err != nil {
		fail(err)
	}
	write(filepath.Join(os.Args[2], "objects.gz"), objects)
	write(filepath.Join(os.Args[2], "quantities.tsv"), quantityCases())
	write(filepath.Join(os.Args[2], "yaml.jsonl"), yamlCases())
}

func write(path string, content []byte) {
	if err := os.WriteFile(path, content, 0o644); err != nil {
		fail(err)
	}
	fmt.Printf("%s: %d bytes\n", path, len(content))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
