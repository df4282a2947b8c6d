package main

import (
	"fmt"
	"math"
	"math/rand"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

// maxSchemaDepth stops JSONSchemaProps, the one message that contains itself.
const maxSchemaDepth = 3

// Values come from short lists, so that the file packs well.
var (
	texts   = []string{"a", "b", "name-1", "example.com/x", "0", "x y", "\"\\/", "<&>", "\n\t\x7f", "é\u0085\u2028", "漢😀"}
	numbers = []int64{1, 2, -1, 7, 80, 1000, -40000, math.MaxInt32, math.MinInt32, 1 << 53, math.MaxInt64, math.MinInt64}
	floats  = []float64{0, 1, -1, 0.5, -2.25, 1e-7, 1e-6, 123456789.125, 9007199254740993, 1e20, 1e21, -1e21, 1.5e300, 5e-324}
	raws    = []string{`{}`, `{"a":1,"b":[true,null,"x"]}`, `"text"`, `-12.5`, `{"apiVersion":"v1","kind":"Secret","data":{"a":"QQ=="}}`}
)

// filler makes random values: full sets every field (maps and lists get one element), otherwise about half stay unset.
func filler(random *rand.Rand, full bool) *randfill.Filler {
	depth := 0
	schema := func(c randfill.Continue, schema any) {
		if depth < maxSchemaDepth {
			depth++
			c.FillNoCustom(schema)
			depth--
		}
	}
	f := randfill.New().RandSource(random).Funcs(
		func(s *string, c randfill.Continue) { *s = text(c.Rand, full) },
		func(b *bool, c randfill.Continue) { *b = full || c.Bool() },
		func(i *int32, c randfill.Continue) { *i = int32(number(c.Rand, 9)) },
		func(i *int64, c randfill.Continue) { *i = number(c.Rand, len(numbers)) },
		func(d *float64, c randfill.Continue) { *d = floats[c.Intn(len(floats))] },
		func(b *[]byte, c randfill.Continue) { *b = []byte(text(c.Rand, full)) },
		func(m *metav1.TypeMeta, c randfill.Continue) {},
		func(t *metav1.Time, c randfill.Continue) { t.Time = moment(c.Rand) },
		func(t *metav1.MicroTime, c randfill.Continue) { t.Time = moment(c.Rand) },
		func(i *intstr.IntOrString, c randfill.Continue) {
			*i = intstr.FromInt32(int32(number(c.Rand, 9)))
			if c.Bool() {
				*i = intstr.FromString(text(c.Rand, full))
			}
		},
		func(q *resource.Quantity, c randfill.Continue) { *q = quantity(c.Rand) },
		func(r *runtime.RawExtension, c randfill.Continue) { r.Raw = raw(c.Rand) },
		func(r *metav1.FieldsV1, c randfill.Continue) { r.SetRawBytes(raw(c.Rand)) },
		func(r *apiextensionsv1.JSON, c randfill.Continue) { r.Raw = raw(c.Rand) },
		func(r *apiextensionsv1beta1.JSON, c randfill.Continue) { r.Raw = raw(c.Rand) },
		func(s *apiextensionsv1.JSONSchemaProps, c randfill.Continue) { schema(c, s) },
		func(s *apiextensionsv1beta1.JSONSchemaProps, c randfill.Continue) { schema(c, s) },
		// These two hold one of two forms; both at once has no JSON of its own and is refused by the decoder.
		func(s *apiextensionsv1.JSONSchemaPropsOrArray, c randfill.Continue) {
			if c.FillNoCustom(s); s.Schema != nil {
				s.JSONSchemas = nil
			}
		},
		func(s *apiextensionsv1beta1.JSONSchemaPropsOrArray, c randfill.Continue) {
			if c.FillNoCustom(s); s.Schema != nil {
				s.JSONSchemas = nil
			}
		},
		func(s *apiextensionsv1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			if c.FillNoCustom(s); s.Schema != nil {
				s.Property = nil
			}
		},
		func(s *apiextensionsv1beta1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			if c.FillNoCustom(s); s.Schema != nil {
				s.Property = nil
			}
		},
	)
	if full {
		return f.NilChance(0).NumElements(1, 1)
	}
	return f.NilChance(0.5).NumElements(0, 2)
}

func text(random *rand.Rand, full bool) string {
	if !full && random.Intn(5) == 0 {
		return ""
	}
	return texts[random.Intn(len(texts))]
}

func number(random *rand.Rand, choices int) int64 {
	return numbers[random.Intn(choices)]
}

func raw(random *rand.Rand) []byte {
	if choice := random.Intn(len(raws) + 1); choice < len(raws) {
		return []byte(raws[choice])
	}
	return nil
}

// moment is now and then the zero time, else between the years 1 and 9999.
func moment(random *rand.Rand) time.Time {
	switch random.Intn(6) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(int64(random.Intn(3)), int64(random.Intn(1e9)))
	case 2:
		return time.Unix(-62135596800+random.Int63n(315537897600), int64(random.Intn(1e9)))
	}
	return time.Unix(1.7e9+random.Int63n(1e8), int64(random.Intn(1e9)))
}

func quantity(random *rand.Rand) resource.Quantity {
	formats := []resource.Format{resource.DecimalSI, resource.BinarySI, resource.DecimalExponent}
	format := formats[random.Intn(len(formats))]
	number := int64(random.Uint64()) >> random.Intn(64)
	switch random.Intn(4) {
	case 0:
		return *resource.NewQuantity(number, format)
	case 1:
		return *resource.NewMilliQuantity(number>>10, resource.DecimalSI)
	case 2:
		return *resource.NewQuantity(int64(random.Intn(5000))<<random.Intn(40), resource.BinarySI)
	}
	suffixes := []string{"", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti", "e3", "E6", "e-3"}
	return resource.MustParse(fmt.Sprintf("%d%s", random.Intn(10000), suffixes[random.Intn(len(suffixes))]))
}
