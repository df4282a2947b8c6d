package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// objects returns, gzipped, for each object: length (u32, big endian) and bytes of its protobuf with the envelope, length and
// bytes of its JSON.
//
// There is one with no field set per kind, one with every field, and as many as asked for with about half of them.
func objects(kinds kinds, sparse int) ([]byte, error) {
	var plain bytes.Buffer
	random := rand.New(rand.NewSource(int64(sparse)))
	for _, k := range kinds.list {
		gvk := k.gvk
		if k.anyVersion {
			gvk.Group, gvk.Version = "apps", "v1" // one group version stands for all
		}
		for round := range sparse + 2 {
			object := reflect.New(k.goes)
			switch round {
			case 0:
			case 1:
				filler(random, true).Fill(object.Interface())
			default:
				filler(random, false).Fill(object.Interface())
			}
			wire, text, err := encode(gvk, object)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", gvk, err)
			}
			for _, part := range [][]byte{wire, text} {
				plain.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
				plain.Write(part)
			}
		}
	}
	fmt.Printf("%d kinds, %d objects, %d bytes unpacked\n", len(kinds.list), len(kinds.list)*(sparse+2), plain.Len())
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(plain.Bytes()); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// encode writes the object as a client would, reads it back as the API server would, and prints that as JSON.
func encode(gvk schema.GroupVersionKind, object reflect.Value) (wire, text []byte, err error) {
	raw, err := object.Interface().(interface{ Marshal() ([]byte, error) }).Marshal()
	if err != nil {
		return nil, nil, err
	}
	envelope := runtime.Unknown{Raw: raw}
	envelope.APIVersion, envelope.Kind = gvk.ToAPIVersionAndKind()
	wire, err = envelope.Marshal()
	if err != nil {
		return nil, nil, err
	}
	read := reflect.New(object.Type().Elem())
	if err := read.Interface().(message).Unmarshal(raw); err != nil {
		return nil, nil, err
	}
	read.Interface().(runtime.Object).GetObjectKind().SetGroupVersionKind(gvk)
	text, err = json.Marshal(read.Interface())
	return append([]byte("k8s\x00"), wire...), text, err
}
