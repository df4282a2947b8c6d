package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// quantityCases are lines of a quantity text, a tab, and what the API server makes of it, or nothing if it refuses it.
func quantityCases() []byte {
	numbers := strings.Fields(`0 1 -1 +1 00 01 5 8 10 12 100 999 1000 -1000 1001 1023 1024 1025 1500 2048 3000 4096 10000 12000 65536 100000
		1000000 1048576 1536000 123456789 1073741824 100000000000 123456789012345678 1234567890123456789 9223372036854775807
		9223372036854775808 1000000000000000000000 0.1 0.5 1.5 1.50 1.500 1.5000 2.000 -0.25 .5 5. 0.0 0.001 0.0001 0.123456789
		0.1234567891 10.0 1000.5 - + . 1.2.3 1,5 ½ 0x10`)
	suffixes := []string{"", "n", "u", "m", "k", "K", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "ki", "mi", "e0", "e3", "E3",
		"e+3", "e-3", "e1", "e2", "e5", "e-1", "e-9", "e-10", "e18", "e19", "e21", "e", "e3.5", "i", " ", "B"}
	var out bytes.Buffer
	for _, number := range numbers {
		for _, suffix := range suffixes {
			var quantity resource.Quantity
			answer := ""
			wire := append([]byte{0xa, byte(len(number + suffix))}, number+suffix...)
			if err := quantity.Unmarshal(wire); err == nil {
				text, err := json.Marshal(quantity)
				if err != nil {
					fail(err)
				}
				answer = strings.Trim(string(text), `"`)
			}
			fmt.Fprintf(&out, "%s\t%s\n", number+suffix, answer)
		}
	}
	return out.Bytes()
}

//go:embed yaml-scalars.txt
var yamlScalars string

//go:embed yaml-documents.txt
var yamlText string

// yamlCase is one line: a document and its JSON as text, without "json" where the API server refuses it.
type yamlCase struct {
	YAML string `json:"yaml"`
	JSON string `json:"json,omitempty"`
}

func yamlCases() []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for _, document := range yamlDocuments() {
		one := yamlCase{YAML: document}
		if text, err := yaml.YAMLToJSON([]byte(document)); err == nil {
			one.JSON = string(text)
		}
		if err := encoder.Encode(one); err != nil {
			fail(err)
		}
	}
	return out.Bytes()
}

// yamlDocuments puts every odd scalar into every place where a scalar may stand, and adds the documents of yaml-documents.txt.
func yamlDocuments() []string {
	places := []string{"a: %s\n", "- %s\n", "{a: %s}", "[%s, x]", "%s: v\n", "a: '%s'\n", "a: \"%s\"\n", "a: |\n  %s\n", "a: >-\n  %s\n  x\n", "{\"a\": %s}"}
	var documents []string
	for _, scalar := range strings.Split(strings.TrimSuffix(yamlScalars, "\n"), "\n") {
		for _, place := range places {
			documents = append(documents, fmt.Sprintf(place, scalar))
		}
	}
	return append(documents, strings.Split(yamlText, "\n=====\n")...)
}
