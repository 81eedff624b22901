package reference

import (
	"bytes"
	"encoding/json"
	"strings"

	"gopkg.in/yaml.v3"

	"aka/router/config"
)

// schema is a JSON Schema of draft 7, which editors know best.
type schema struct {
	Schema               string             `json:"$schema,omitempty"`
	Description          string             `json:"description,omitempty"`
	Ref                  string             `json:"$ref,omitempty"`
	Type                 []string           `json:"type,omitempty"`
	Enum                 []any              `json:"enum,omitempty"`
	EnumDescriptions     []string           `json:"enumDescriptions,omitempty"` // editors show them
	Default              any                `json:"default,omitempty"`
	Minimum              *int64             `json:"minimum,omitempty"`
	Maximum              *int64             `json:"maximum,omitempty"`
	MinLength            int                `json:"minLength,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	PatternErrorMessage  string             `json:"patternErrorMessage,omitempty"` // editors show it
	ErrorMessage         string             `json:"errorMessage,omitempty"`        // and this one, of types and words
	Items                *schema            `json:"items,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	PropertyNames        *schema            `json:"propertyNames,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // false, or a schema
	MinProperties        int                `json:"minProperties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	Dependencies         map[string]*schema `json:"dependencies,omitempty"`
	If                   *schema            `json:"if,omitempty"`
	Then                 *schema            `json:"then,omitempty"`
	AllOf                []*schema          `json:"allOf,omitempty"`
	AnyOf                []*schema          `json:"anyOf,omitempty"`
	Definitions          map[string]*schema `json:"definitions,omitempty"`
}

// Schema returns the JSON Schema of a config file. Whatever it refuses, aka refuses too; aka alone knows what files hold,
// the values of variables, and whether one key goes with another.
func (r *Reference) Schema() []byte {
	root := section(r.Keys)
	root.Schema = "http://json-schema.org/draft-07/schema#"
	root.Definitions = map[string]*schema{}
	for _, k := range r.Keys {
		if k.Name == "destinations" {
			root.Properties[k.Name] = r.destinations(k, root.Definitions)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic("reference: the schema does not encode: " + err.Error())
	}
	return out.Bytes()
}

// section is a mapping of these keys and no others. It may be empty where no key is required.
func section(keys []*Key) *schema {
	s := &schema{Type: []string{"object", "null"}, Properties: map[string]*schema{}, AdditionalProperties: false}
	if anyRequired(keys) {
		s.Type = []string{"object"}
	}
	for _, k := range keys {
		s.Properties[k.Name] = valueOf(k)
		switch {
		case k.Kind == Secret:
			s.addFile(k)
		case k.Required:
			s.Required = append(s.Required, k.Name)
		case k.Unless != nil:
			s.AllOf = append(s.AllOf, requiredUnless(k))
		}
	}
	return s
}

// requiredUnless wants a key, or another with the value that makes it unnecessary. A variable may hold that value.
func requiredUnless(k *Key) *schema {
	value := &schema{AnyOf: []*schema{{Enum: []any{k.Unless.Value}}, {Type: []string{"string"}, Pattern: variable}}}
	other := &schema{Required: []string{k.Unless.Key}, Properties: map[string]*schema{k.Unless.Key: value}}
	given := &schema{Required: []string{k.Name}, Properties: map[string]*schema{k.Name: {Type: []string{"array"}}}}
	return &schema{AnyOf: []*schema{given, other}}
}

// addFile adds the key that names a secret's file. Only one of the two may be there.
func (s *schema) addFile(k *Key) {
	file := k.Name + "_file"
	s.Properties[file] = &schema{
		Type: []string{"string"}, MinLength: 1,
		Description: "A file that holds what " + k.Name + " would say here.",
	}
	if s.Dependencies == nil {
		s.Dependencies = map[string]*schema{}
	}
	s.Dependencies[k.Name] = &schema{Properties: map[string]*schema{file: {Type: []string{"null"}, ErrorMessage: "Given both here and as " + k.Name + "."}}}
	if k.Required {
		s.AllOf = append(s.AllOf, &schema{AnyOf: []*schema{{Required: []string{k.Name}}, {Required: []string{file}}}})
	}
}

const (
	// variable is what holds an environment variable, whose value is not known yet.
	variable        = `\$\{`
	durationPattern = `^(?:0|\+?(?:[0-9]+d)?(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))*)$`
	sizePattern     = `^ *[0-9]+ *(?:[KMGT]i?)?B? *$`
	autoPattern     = `^auto$`
)

// valueOf is what may stand at a key. A value that is left empty, as null is written, means its default.
func valueOf(k *Key) *schema {
	s := bare(k)
	s.Description = k.describe()
	s.Default = k.value()
	if k.Required && s.Type != nil {
		s.Type = without(s.Type, "null")
	}
	if k.Required && (k.Kind == Text || k.Kind == Secret) {
		s.MinLength = 1
	}
	return s
}

func bare(k *Key) *schema {
	switch k.Kind {
	case Choice:
		return choice(k)
	case Switch:
		return &schema{Type: []string{"boolean", "string", "null"}, Pattern: "^(?:true|false)$|" + variable, PatternErrorMessage: "Expected true or false."}
	case Whole:
		return &schema{Type: []string{"integer", "string", "null"}, Minimum: k.Least, Maximum: k.Most, Pattern: "^[+-]?[0-9]+$|" + variable, PatternErrorMessage: "Expected a whole number."}
	case Number:
		return &schema{Type: []string{"number", "string", "null"}, Minimum: k.Least, Maximum: k.Most, Pattern: "^[0-9.eE+-]+$|" + variable, PatternErrorMessage: "Expected a number."}
	case Duration: // a number has no unit, but 0 needs none
		message := "Expected a duration such as 500ms, 10s, 24h or 30d."
		return &schema{
			Type: []string{"string", "integer", "null"}, Pattern: durationPattern + "|" + variable, PatternErrorMessage: message,
			If: &schema{Type: []string{"integer"}}, Then: &schema{Enum: []any{0}, ErrorMessage: message},
		}
	case Size:
		return size(sizePattern, "Expected a size such as 512KiB, 64MiB or 10GiB.")
	case AutoSize:
		return size(autoPattern+"|"+sizePattern, "Expected auto, or a size such as 512KiB, 64MiB or 10GiB.")
	case Adaptive:
		return adaptive(k)
	case List:
		return &schema{Type: []string{"array", "null"}, Items: bare(k.Of)}
	case Section:
		if k.Keys == nil {
			return &schema{Type: []string{"object", "null"}}
		}
		s := section(k.Keys)
		if !k.Required {
			s.Type = []string{"object", "null"}
		}
		return s
	case Values:
		return &schema{Type: []string{"object", "null"}, AdditionalProperties: &schema{Type: []string{"string", "number", "boolean"}}}
	case Named:
		return named(section(k.Keys))
	case Table:
		return &schema{Type: []string{"object", "null"}, AdditionalProperties: bare(k.Of)}
	case Tree:
		return &schema{}
	}
	return &schema{Type: []string{"string", "number", "boolean", "null"}} // YAML takes 12 for a number, aka for a text
}

// adaptive is the word, a number, or a section of both bounds.
func adaptive(k *Key) *schema {
	value := &schema{
		Type: []string{"integer", "string", "null"}, Minimum: k.Instead[0].Least, Maximum: k.Instead[0].Most,
		Pattern:             "^(?:adaptive|[+-]?[0-9]+)$|" + variable,
		PatternErrorMessage: "Expected adaptive, a whole number, or { min, max }.",
	}
	return &schema{AnyOf: []*schema{value, section(k.Instead)}}
}

// size is a number of bytes, or a text that matches the pattern.
func size(pattern, message string) *schema {
	return &schema{Type: []string{"string", "integer", "null"}, Minimum: number("0"), Pattern: pattern + "|" + variable, PatternErrorMessage: message}
}

// choice is one of the words, or a variable.
func choice(k *Key) *schema {
	words := &schema{}
	for _, w := range k.Words {
		words.Enum = append(words.Enum, w.Value)
		words.EnumDescriptions = append(words.EnumDescriptions, w.Meaning)
	}
	if strings.Join(words.EnumDescriptions, "") == "" {
		words.EnumDescriptions = nil
	}
	other := &schema{Type: []string{"string", "null"}, Pattern: variable}
	if k.Required {
		other.Type = []string{"string"}
	} else if k.mayBeEmpty {
		other.Pattern = "^$|" + variable
	}
	return &schema{AnyOf: []*schema{words, other}}
}

// named is any number of sections, but not none, by names that the config chooses.
func named(each *schema) *schema {
	return &schema{
		Type: []string{"object"}, MinProperties: 1, AdditionalProperties: each,
		PropertyNames: &schema{Pattern: config.NamePattern, PatternErrorMessage: "A name is 1 to 63 of a-z, 0-9, _ and -."},
	}
}

// destinations are sections whose settings are those of their type, which is their name where they give none.
func (r *Reference) destinations(k *Key, definitions map[string]*schema) *schema {
	every := section(k.Keys)
	every.Type = []string{"object"}
	untyped := &schema{Properties: map[string]*schema{"type": {Enum: []any{nil, ""}}}}
	s := named(nil)
	s.Description = k.describe()
	s.Properties = map[string]*schema{}
	for _, v := range r.Vendors {
		settings := section(v.Settings.Keys)
		settings.Description = v.Meaning
		definitions[v.Type] = settings
		takes := &schema{Properties: map[string]*schema{"settings": ref(v.Type)}}
		if v.Settings.Required {
			takes.Required = []string{"settings"}
		}
		typed := &schema{Required: []string{"type"}, Properties: map[string]*schema{"type": {Enum: []any{v.Type}}}}
		every.AllOf = append(every.AllOf, &schema{If: typed, Then: takes})
		s.Properties[v.Type] = &schema{AllOf: []*schema{ref("destination"), {If: untyped, Then: takes}}}
	}
	definitions["destination"] = every
	typed := &schema{Required: []string{"type"}, Properties: map[string]*schema{"type": {Type: []string{"string"}, MinLength: 1}}}
	s.AdditionalProperties = &schema{AllOf: []*schema{ref("destination"), typed}}
	return s
}

func ref(definition string) *schema { return &schema{Ref: "#/definitions/" + definition} }

// describe is the meaning, with the default where that is no value.
func (k *Key) describe() string {
	if k.Otherwise == "" {
		return k.Meaning
	}
	return strings.TrimSpace(k.Meaning + " The default is " + k.Otherwise + ".")
}

// value is the default as JSON has it.
func (k *Key) value() any {
	if k.Default == "" || k.Kind == Named {
		return nil
	}
	switch k.Kind {
	case Text, Choice, Duration, Size, AutoSize, Adaptive:
		return k.Default
	}
	var value any
	if err := yaml.Unmarshal([]byte(k.Default), &value); err != nil {
		panic("reference: the default of " + k.Name + ": " + err.Error())
	}
	return value
}

func without(words []string, word string) []string {
	var rest []string
	for _, w := range words {
		if w != word {
			rest = append(rest, w)
		}
	}
	return rest
}
