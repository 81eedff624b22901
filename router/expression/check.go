package expression

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"aka/router/spelling"
)

// loops are expr's own functions that stay: they take a condition or value per element.
var loops = []string{"all", "any", "filter", "map"}

// refusedOperators are those of expr that an expression does without.
var refusedOperators = map[string]string{
	"..": "ranges are not allowed",
	"**": "powers are not allowed",
	"^":  "powers are not allowed",
}

// checker looks at every part of an expression before it is compiled: it refuses what is not in our list, with a place, and
// puts our own functions where expr's operators do not know the values of a call, or could take long.
type checker struct {
	options   Options
	variables map[string]bool
	names     map[string]bool // that the expression uses
	places    map[int]place   // by offset
	mistake   *mistake
	builds    bool
	// bare are names of functions that no call has been seen of.
	bare map[ast.Node]string
	// objects are the config's own, of which no member has been named.
	objects map[ast.Node]string
}

// place is a part of an expression, as an error names it.
type place struct {
	name     string
	isMember bool
}

// mistake is the first one in the text.
type mistake struct {
	offset  int
	place   string
	problem string
}

// at returns the mistake with its line and column.
func (m *mistake) at(text string) *Error {
	before := []rune(text)
	before = before[:min(m.offset, len(before))]
	lines := strings.Split(string(before), "\n")
	return &Error{
		Offset: m.offset, Line: len(lines), Column: len([]rune(lines[len(lines)-1])) + 1, Place: m.place, Problem: m.problem,
	}
}

func newChecker(options Options) *checker {
	c := &checker{
		options: options, variables: map[string]bool{}, names: map[string]bool{}, places: map[int]place{},
		bare: map[ast.Node]string{}, objects: map[ast.Node]string{},
	}
	if !options.WithoutCall {
		for _, name := range callNames {
			c.variables[name] = true
		}
	}
	for _, name := range extraNames {
		if slices.Contains(options.Extra, name) {
			c.variables[name] = true
		}
	}
	return c
}

func (c *checker) refuse(node ast.Node, place, format string, args ...any) {
	if offset := node.Location().From; c.mistake == nil || offset < c.mistake.offset {
		c.mistake = &mistake{offset, place, fmt.Sprintf(format, args...)}
	}
}

// Visit looks at a part after those that it is made of.
func (c *checker) Visit(node *ast.Node) {
	if name := path(*node); name != "" {
		member, isMember := (*node).(*ast.MemberNode)
		c.places[(*node).Location().From] = place{name, isMember && path(member.Node) != ""}
	}
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		c.identifier(node, n)
	case *ast.MemberNode:
		c.member(node, n)
	case *ast.CallNode:
		c.call(n)
	case *ast.BuiltinNode:
		c.loop(n)
	case *ast.PredicateNode:
		n.Node = c.wrap("a turn", n.Node)
	case *ast.PointerNode:
		if n.Name != "" && n.Name != "index" {
			c.refuse(n, "", "unknown name #%s", n.Name)
		}
	case *ast.UnaryNode:
		c.unary(n)
	case *ast.BinaryNode:
		c.binary(node, n)
	case *ast.ConditionalNode:
		n.Cond = c.truth(n.Cond)
	case *ast.ArrayNode, *ast.MapNode:
		c.builds = true
	case *ast.VariableDeclaratorNode:
		c.refuse(n, "", "let is not allowed")
	case *ast.SequenceNode:
		c.refuse(n, "", "several expressions are not allowed")
	case *ast.SliceNode:
		c.refuse(n, "", "slices are not allowed; use cut for a text")
	case *ast.BytesNode:
		c.refuse(n, "", "bytes are not allowed")
	}
}

func (c *checker) identifier(node *ast.Node, n *ast.IdentifierNode) {
	switch {
	case n.Value == "secrets":
		named := make(map[string]any, len(c.options.Secrets))
		for name, value := range c.options.Secrets {
			named[name] = value
		}
		c.constant(node, n.Value, named)
	case n.Value == "constants":
		c.constant(node, n.Value, c.options.Constants)
	case c.variables[n.Value]:
		c.names[n.Value] = true
	case functions[n.Value] != nil:
		c.bare[n] = n.Value
	default:
		known := slices.Concat(slices.Collect(maps.Keys(c.variables)), FunctionNames(), loops, []string{"secrets", "constants"})
		c.refuse(n, "", "unknown name %q%s", n.Value, spelling.Hint(n.Value, known))
	}
}

// constant puts a value of the config in the place of a name.
func (c *checker) constant(node *ast.Node, name string, value any) {
	constant := &ast.ConstantNode{Value: value}
	ast.Patch(node, constant)
	if _, isObject := value.(map[string]any); isObject {
		c.objects[constant] = name
	}
}

// member looks members of the config's objects up, so that a name that is not there is a mistake of the config.
func (c *checker) member(node *ast.Node, n *ast.MemberNode) {
	object := c.objects[n.Node]
	if object == "" {
		return
	}
	delete(c.objects, n.Node)
	key, ok := n.Property.(*ast.StringNode)
	if !ok {
		c.refuse(n, object, "takes the name of a member, and nothing that is made of the call")
		return
	}
	members := n.Node.(*ast.ConstantNode).Value.(map[string]any)
	value, ok := members[key.Value]
	if !ok {
		c.refuse(n, object, "holds no %q%s", key.Value, spelling.Hint(key.Value, slices.Collect(maps.Keys(members))))
		return
	}
	c.constant(node, object+"."+key.Value, value)
}

// finish looks at what only the whole expression shows.
func (c *checker) finish(root ast.Node) {
	switch {
	case root == nil:
	case c.options.Want == Bool:
		c.wants(root, aBool)
	case kindOf(root) == aTime:
		c.refuse(root, path(root), "is a time; write it with iso, unix or unix_ms")
	}
	for node, name := range c.bare {
		c.refuse(node, name, "is a function: write %s(…)", name)
	}
	for node, name := range c.objects {
		if name == "secrets" {
			c.refuse(node, name, "can be used only by the name of one, such as secrets.token")
		}
	}
}

func (c *checker) call(n *ast.CallNode) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.refuse(n, "", "only the functions of the list can be called")
		return
	}
	delete(c.bare, n.Callee)
	f := functions[name.Value]
	switch {
	case f == nil:
		return // the name is a mistake already
	case len(n.Arguments) < f.least || f.most >= 0 && len(n.Arguments) > f.most:
		c.refuse(n, name.Value, "takes %s, and has %d", f.counts(), len(n.Arguments))
		return
	}
	n.Arguments = append([]ast.Node{budgetNode(n)}, n.Arguments...)
}

func budgetNode(at ast.Node) ast.Node {
	node := &ast.IdentifierNode{Value: "budget of the run"}
	node.SetLocation(at.Location())
	node.SetType(reflect.TypeFor[*budget]())
	return node
}

// wrap puts a function of ours around a part. The names of these have a space, so that no text can call them.
func (c *checker) wrap(function string, part ast.Node) ast.Node {
	return c.wrapped(function, part, part)
}

func (c *checker) wrapped(function string, at ast.Node, parts ...ast.Node) ast.Node {
	callee := &ast.IdentifierNode{Value: function}
	callee.SetLocation(at.Location())
	call := &ast.CallNode{Callee: callee, Arguments: append([]ast.Node{budgetNode(at)}, parts...)}
	call.SetLocation(at.Location())
	return call
}

func (c *checker) loop(n *ast.BuiltinNode) {
	if !slices.Contains(loops, n.Name) {
		c.refuse(n, "", "unknown name %q%s", n.Name, spelling.Hint(n.Name, append(FunctionNames(), loops...)))
		return
	}
	c.builds = c.builds || n.Name == "map" || n.Name == "filter"
	c.wants(n.Arguments[0], aList)
	n.Arguments[0] = c.wrap("a list", n.Arguments[0])
	if body, ok := n.Arguments[1].(*ast.PredicateNode); ok && n.Name != "map" {
		body.Node = c.truth(body.Node)
	}
}

// wants refuses a part that can never be of one of the kinds.
func (c *checker) wants(part ast.Node, kinds ...string) {
	if is := kindOf(part); is != "" && !slices.Contains(kinds, is) {
		c.refuse(part, path(part), "is %s; %s is wanted", is, strings.Join(kinds, " or "))
	}
}

// truth makes true or false of a value of a call.
func (c *checker) truth(part ast.Node) ast.Node {
	c.wants(part, aBool)
	if part.Type().Kind() == reflect.Bool {
		return part
	}
	return c.wrap("truth", part)
}

func (c *checker) unary(n *ast.UnaryNode) {
	if n.Operator == "!" || n.Operator == "not" {
		n.Node = c.truth(n.Node)
		return
	}
	n.Node = c.number("a number", n.Node, aNumber)
}

func (c *checker) binary(node *ast.Node, n *ast.BinaryNode) {
	if why := refusedOperators[n.Operator]; why != "" {
		c.refuse(n, "", "%s", why)
		return
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		n.Left, n.Right = c.truth(n.Left), c.truth(n.Right)
	case "+":
		c.wants(n.Left, aNumber, aText)
		c.wants(n.Right, aNumber, aText)
		if !isNumber(n.Left) || !isNumber(n.Right) {
			*node = c.wrapped("a sum", n, n.Left, n.Right)
		}
	case "-", "*", "/", "%":
		n.Left, n.Right = c.number("a number", n.Left, aNumber), c.number("a number", n.Right, aNumber)
	case "<", ">", "<=", ">=":
		c.sameKind(n)
		n.Left, n.Right = c.number("in order", n.Left, aNumber, aText), c.number("in order", n.Right, aNumber, aText)
	case "==", "!=":
		c.sameKind(n)
		n.Left, n.Right = c.equal(n.Left, n.Right), c.equal(n.Right, n.Left)
	case "in":
		n.Left, n.Right = c.equal(n.Left, n.Right), c.equal(n.Right, n.Left)
	case "matches":
		if _, ok := n.Right.(*ast.StringNode); !ok {
			c.refuse(n, "", "matches takes a pattern in quotes, and nothing that is made of the call")
		}
		n.Left = c.text(n.Left)
	case "contains", "startsWith", "endsWith":
		n.Left, n.Right = c.text(n.Left), c.text(n.Right)
	}
}

// sameKind refuses to compare what is never alike.
func (c *checker) sameKind(n *ast.BinaryNode) {
	left, right := kindOf(n.Left), kindOf(n.Right)
	if left != "" && right != "" && left != right && left != nothing && right != nothing {
		c.refuse(n, "", "%s of %s and %s", n.Operator, left, right)
	}
}

// number lets numbers of a call be calculated with and compared.
func (c *checker) number(function string, part ast.Node, kinds ...string) ast.Node {
	c.wants(part, kinds...)
	if isNumber(part) {
		return part
	}
	return c.wrap(function, part)
}

// text counts what is looked through.
func (c *checker) text(part ast.Node) ast.Node {
	c.wants(part, aText, aNumber)
	if isLiteral(part) {
		return part
	}
	return c.wrap("a text", part)
}

// equal makes a number of what is compared with one, and counts what is looked through.
func (c *checker) equal(part, other ast.Node) ast.Node {
	list, isList := other.(*ast.ArrayNode)
	switch {
	case isLiteral(part) || isNumber(part) || part.Type().Kind() == reflect.Bool:
		return part
	case isNumber(other), isList && slices.ContainsFunc(list.Nodes, isNumber):
		return c.wrap("as a number", part)
	case isLiteral(other):
		return part // no longer than what the config says
	}
	return c.wrap("as it is", part)
}

// kindOf returns the kind that a part has whatever the call, beside nil, or "".
func kindOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.NilNode:
		return nothing
	case *ast.CallNode:
		if name, ok := n.Callee.(*ast.IdentifierNode); ok && functions[name.Value] != nil {
			return functions[name.Value].gives
		}
		return ""
	}
	switch n.Type().Kind() {
	case reflect.Bool:
		return aBool
	case reflect.String:
		return aText
	case reflect.Int, reflect.Float64:
		return aNumber
	case reflect.Map:
		return anObject
	case reflect.Slice:
		return aList
	case reflect.Struct:
		return aTime
	}
	return ""
}

func isNumber(n ast.Node) bool {
	kind := n.Type().Kind()
	return kind == reflect.Int || kind == reflect.Float64
}

func isLiteral(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.NilNode, *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return true
	case *ast.ArrayNode:
		return !slices.ContainsFunc(n.Nodes, func(inner ast.Node) bool { return !isLiteral(inner) })
	}
	return false
}

// path returns the short name of a part, such as "properties.products[0].id", or "".
func path(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if !strings.Contains(n.Value, " ") {
			return n.Value
		}
	case *ast.PointerNode:
		return "#" + n.Name
	case *ast.ChainNode:
		return path(n.Node)
	case *ast.MemberNode:
		return memberPath(n)
	case *ast.CallNode:
		return callPath(n)
	case *ast.BuiltinNode:
		return n.Name
	}
	return ""
}

func memberPath(n *ast.MemberNode) string {
	base := path(n.Node)
	switch key := n.Property.(type) {
	case *ast.StringNode:
		if base != "" {
			return base + "." + key.Value
		}
	case *ast.IntegerNode:
		if base != "" {
			return base + "[" + strconv.Itoa(key.Value) + "]"
		}
	}
	return ""
}

// callPath is the function with its first argument.
func callPath(n *ast.CallNode) string {
	name := path(n.Callee)
	if name == "" {
		return ""
	}
	for _, argument := range n.Arguments {
		if inner := path(argument); inner != "" {
			return name + "(" + inner + ")"
		}
		if _, isHidden := argument.(*ast.IdentifierNode); !isHidden {
			break
		}
	}
	return name
}
