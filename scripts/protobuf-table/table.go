package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// header explains the table to a reader; the grammar is read by control-plane/core/src/protobuf/table.rs.
const header = `# How Kubernetes protobuf messages map to JSON. Written by scripts/protobuf-table; do not edit.
# Derived from the Go struct tags of k8s.io/{api,apimachinery,apiextensions-apiserver,kube-aggregator} v0.36.3 (Apache-2.0).
#   k <apiVersion or *> <Kind> <message>      k! when the JSON carries no kind and apiVersion
#   m <name>                                  messages count from 0; their fields follow
#   <number> <json name or .> <type> [flags]  "." = inlined into the parent; flags: e omitempty, z omitzero
# Types: s string, b bool, i int32, l int64, d double, y bytes, T Time, U MicroTime, I IntOrString, Q Quantity, R raw JSON,
# W list of strings in a message, B/A/S<message> JSONSchemaPropsOr{Bool,Array,StringArray}, <message> a message;
# before them: * pointer, [ list, { map with string keys.
`

// special types have JSON or protobuf of their own, written by hand in Go and in the decoder alike.
var special = map[reflect.Type]string{
	reflect.TypeFor[metav1.Time]():                                       "T",
	reflect.TypeFor[metav1.MicroTime]():                                  "U",
	reflect.TypeFor[intstr.IntOrString]():                                "I",
	reflect.TypeFor[resource.Quantity]():                                 "Q",
	reflect.TypeFor[runtime.RawExtension]():                              "R",
	reflect.TypeFor[metav1.FieldsV1]():                                   "R",
	reflect.TypeFor[apiextensionsv1.JSON]():                              "R",
	reflect.TypeFor[apiextensionsv1beta1.JSON]():                         "R",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrBool]():             "B",
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrBool]():        "B",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrArray]():            "A",
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrArray]():       "A",
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrStringArray]():      "S",
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrStringArray](): "S",
}

var (
	typeMeta      = reflect.TypeFor[metav1.TypeMeta]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

type table struct {
	ids   map[reflect.Type]int
	queue []reflect.Type
	kinds bytes.Buffer
	body  bytes.Buffer
}

func newTable(kinds kinds) (*table, error) {
	t := &table{ids: map[reflect.Type]int{}}
	for _, k := range kinds.list {
		mark, version := "k", k.gvk.GroupVersion().String()
		if field, ok := k.goes.FieldByName("TypeMeta"); !ok || field.Type != typeMeta {
			mark = "k!"
		}
		if k.anyVersion {
			version = "*"
		}
		fmt.Fprintf(&t.kinds, "%s %s %s %d\n", mark, version, k.gvk.Kind, t.id(k.goes))
	}
	for done := 0; done < len(t.queue); done++ {
		if err := t.message(t.queue[done]); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *table) text() []byte {
	return bytes.Join([][]byte{[]byte(header), t.kinds.Bytes(), t.body.Bytes()}, nil)
}

func (t *table) id(goes reflect.Type) int {
	id, ok := t.ids[goes]
	if !ok {
		id = len(t.queue)
		t.ids[goes] = id
		t.queue = append(t.queue, goes)
	}
	return id
}

// message writes one message and its fields, and queues the messages they name.
func (t *table) message(goes reflect.Type) error {
	if marshals(goes) && !isEither(special[goes]) {
		return fmt.Errorf("%v has JSON of its own that the table can't say", goes)
	}
	path := strings.Split(goes.PkgPath(), "/")
	fmt.Fprintf(&t.body, "m %s.%s\n", strings.Join(path[len(path)-2:], "."), goes.Name())
	lines := map[int]string{}
	for i := range goes.NumField() {
		field := goes.Field(i)
		if field.Type == typeMeta && field.Anonymous {
			continue // of the outermost object only, and there from the envelope
		}
		if field.Tag.Get("json") == "-" && field.Tag.Get("protobuf") == "" {
			continue // in memory only
		}
		number, line, err := t.field(field)
		if err != nil {
			return fmt.Errorf("%v.%s: %w", goes, field.Name, err)
		}
		if _, twice := lines[number]; twice {
			return fmt.Errorf("%v: field %d twice", goes, number)
		}
		lines[number] = line
	}
	numbers := make([]int, 0, len(lines))
	for number := range lines {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	for _, number := range numbers {
		t.body.WriteString(lines[number])
	}
	return nil
}

func (t *table) field(field reflect.StructField) (int, string, error) {
	wire := strings.Split(field.Tag.Get("protobuf"), ",")
	name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	if len(wire) < 3 || name == "-" {
		return 0, "", fmt.Errorf("no protobuf or no JSON: %q", field.Tag)
	}
	number, err := strconv.Atoi(wire[1])
	if err != nil {
		return 0, "", err
	}
	flags := ""
	for _, option := range strings.Split(options, ",") {
		switch option {
		case "omitempty":
			flags += "e"
		case "omitzero":
			flags += "z"
		case "", "inline":
		default:
			return 0, "", fmt.Errorf("json option %q", option)
		}
	}
	label, err := t.label(field.Type)
	if err != nil {
		return 0, "", err
	}
	switch {
	case name != "":
	case field.Anonymous:
		name = "."
	case len(wire) > 3 && field.Tag.Get("json") == "": // of an either-or type: the decoder goes by the name in the protobuf
		name, flags = strings.TrimPrefix(wire[3], "name="), "e"
	default:
		return 0, "", fmt.Errorf("no JSON name: %q", field.Tag)
	}
	if strings.Contains(flags, "z") && label != "T" && label != "U" {
		return 0, "", fmt.Errorf("omitzero of %v: the decoder knows no zero of it", field.Type)
	}
	return number, strings.TrimRight(fmt.Sprintf("%d %s %s %s", number, name, label, flags), " ") + "\n", nil
}

// label says what a Go type is on the wire and in JSON. The wire type and the "rep" of the protobuf tag are not looked at:
// some are wrong (DeleteOptions.propagationPolicy, EndpointSlice.addressType), and the generated code goes by the type.
func (t *table) label(goes reflect.Type) (string, error) {
	if label, ok := special[goes]; ok {
		if isEither(label) {
			label += strconv.Itoa(t.id(goes))
		}
		return label, nil
	}
	if marshals(goes) {
		return "", fmt.Errorf("%v has JSON of its own that the table can't say", goes)
	}
	switch goes.Kind() {
	case reflect.String:
		return "s", nil
	case reflect.Bool:
		return "b", nil
	case reflect.Int32:
		return "i", nil
	case reflect.Int64:
		return "l", nil
	case reflect.Float64:
		return "d", nil
	case reflect.Struct:
		return strconv.Itoa(t.id(goes)), nil
	case reflect.Pointer:
		return t.prefixed("*", goes.Elem())
	case reflect.Map:
		if goes.Key().Kind() != reflect.String || marshals(goes.Key()) {
			return "", fmt.Errorf("map key %v", goes.Key())
		}
		return t.prefixed("{", goes.Elem())
	case reflect.Slice:
		if goes.Elem().Kind() == reflect.Uint8 {
			return "y", nil
		}
		if reflect.PointerTo(goes).Implements(messageType) {
			if goes.Elem().Kind() != reflect.String {
				return "", fmt.Errorf("wrapped list of %v", goes.Elem())
			}
			return "W", nil
		}
		return t.prefixed("[", goes.Elem())
	}
	return "", fmt.Errorf("%v is not known", goes)
}

func (t *table) prefixed(prefix string, inner reflect.Type) (string, error) {
	label, err := t.label(inner)
	if err == nil && strings.ContainsAny(label[:1], "*[{") {
		err = fmt.Errorf("%s of %v", prefix, inner)
	}
	return prefix + label, err
}

// isEither names the types that hold one of two forms: their JSON is that form, their message is in the table.
func isEither(label string) bool {
	return label == "B" || label == "A" || label == "S"
}

func marshals(goes reflect.Type) bool {
	pointer := reflect.PointerTo(goes)
	return pointer.Implements(jsonMarshaler) || pointer.Implements(textMarshaler)
}
