package postgres

import (
	"slices"
	"strings"
)

// Roles. A program runs as the database's owner, whom PostgreSQL's clients know as postgres and who may do everything, or in a role that
// its author's grant names. A role owns nothing: it has what GRANT and policies give, to it, to roles that it is in, and to all.

// A role is one that the owner has made.
type role struct {
	OID     uint32
	Name    string
	Login   bool     `json:",omitempty"`
	In      []uint32 `json:",omitempty"` // roles whose rights it has too
	Comment string   `json:",omitempty"`
}

// everyone is PUBLIC among those whom something is granted to.
const everyone = uint32(0)

// A granted is what a role may do with a relation or schema: PostgreSQL's letters, in the order of rightNames.
type granted struct {
	Role   uint32
	Rights string
}

// Rights as PostgreSQL's access lists write them, in its order.
const rightLetters = "arwdDxtUC"

var rightNames = map[byte]string{'a': "INSERT", 'r': "SELECT", 'w': "UPDATE", 'd': "DELETE", 'D': "TRUNCATE", 'x': "REFERENCES", 't': "TRIGGER", 'U': "USAGE", 'C': "CREATE"}

// allRights are those that there are for a kind of relation; n is a schema.
var allRights = map[string]string{"r": "arwdDxt", "v": "arwdDxt", "S": "rwU", "n": "UC"}

func (h *head) role(name string) *role {
	i := slices.IndexFunc(h.Roles, func(r role) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &h.Roles[i]
}

func (h *head) roleOf(o uint32) *role {
	i := slices.IndexFunc(h.Roles, func(r role) bool { return r.OID == o })
	if i < 0 {
		return nil
	}
	return &h.Roles[i]
}

// roleName is a role's, as pg_get_userbyid tells it.
func (h *head) roleName(o int64) string {
	if r := h.roleOf(uint32(o)); r != nil {
		return r.Name
	}
	return roleName(o)
}

// included are a role, those that it is in, directly or by others, and PUBLIC.
func (h *head) included(o uint32) []uint32 {
	all := []uint32{o}
	for i := 0; i < len(all); i++ {
		if r := h.roleOf(all[i]); r != nil {
			for _, in := range r.In {
				if !slices.Contains(all, in) {
					all = append(all, in)
				}
			}
		}
	}
	return append(all, everyone)
}

// permitted tells whether rights that were granted give any of letters to any of roles.
func permitted(list []granted, roles []uint32, letters string) bool {
	return slices.ContainsFunc(list, func(g granted) bool { return slices.Contains(roles, g.Role) && strings.ContainsAny(g.Rights, letters) })
}

// as finds the role that the program runs in: nil for the owner.
func (s *session) as(c *catalog) ([]uint32, error) {
	if s.role.Name == "" {
		return nil, nil
	}
	r := c.head.role(s.role.Name)
	if r == nil {
		e := fail("28000", "role \"%s\" does not exist", s.role.Name)
		e.Hint = "The key was made for this role: its owner makes the role with CREATE ROLE, and GRANT says what it may."
		return nil, e
	}
	return c.head.included(r.OID), nil
}

// limited tells whether what is compiled is bound by the rights of a role. What a view reads, its owner reads.
func (c *compiler) limited() bool { return c.roles != nil && !c.owned }

// asOwner compiles what belongs to the owner, whoever runs it.
func (c *compiler) asOwner(f func() error) error {
	was := c.owned
	c.owned = true
	defer func() { c.owned = was }()
	return f()
}

// need says that a statement does any of letters with a relation. PostgreSQL looks for the right to when it has understood all of it.
func (c *compiler) need(r *relation, letters string) {
	if c.limited() && c.denied == nil && !permitted(r.Grants, c.roles, letters) {
		c.denied = fail("42501", "permission denied for %s %s", kindName(r), r.Name)
	}
}

// needSchema refuses names of a schema that the role may not use.
func (c *compiler) needSchema(name string) error {
	n := c.cat.schema(name)
	if n == nil || !c.limited() || permitted(n.Grants, c.roles, "U") {
		return nil
	}
	return fail("42501", "permission denied for schema %s", name)
}

// shown tells whether information_schema shows a relation to the program's role.
func (c *compiler) shown(r *relation) bool {
	return !c.limited() || permitted(r.Grants, c.roles, rightLetters)
}

// needSequence is need for a sequence that is known only when the statement runs.
func (s *session) needSequence(r *relation, letters string) error {
	roles, err := s.as(s.cat)
	if err != nil || roles == nil || permitted(r.Grants, roles, letters) {
		return err
	}
	return fail("42501", "permission denied for sequence %s", r.Name)
}

// accessList is PostgreSQL's text of what was granted, as an array; nil when nothing was.
func (c *catalog) accessList(list []granted, all string) any {
	if len(list) == 0 {
		return nil
	}
	quoted := func(name string) string {
		if strings.ContainsFunc(name, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
		}) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
		return name
	}
	items := []string{ownerName + "=" + all + "/" + ownerName}
	for _, g := range list {
		name := ""
		if r := c.head.roleOf(g.Role); r != nil {
			name = quoted(r.Name)
		}
		items = append(items, name+"="+g.Rights+"/"+ownerName)
	}
	return textArray(items)
}

// textArray is an array of texts as PostgreSQL writes it.
func textArray(items []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range items {
		if i > 0 {
			b.WriteByte(',')
		}
		if s == "" || strings.EqualFold(s, "null") || strings.ContainsAny(s, "{}\",\\ \t\n\r\v\f") {
			s = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
		}
		b.WriteString(s)
	}
	b.WriteByte('}')
	return b.String()
}

// setting is current_setting(name, missing_ok) for settings that a program knows.
func (s *session) setting(name string, missing bool) (any, error) {
	switch l := strings.ToLower(name); {
	case l == "stratos.caller":
		return s.role.Caller, nil
	case l == "timezone":
		if s.zone == "" {
			return "UTC", nil
		}
		return s.zone, nil
	case l == "default_text_search_config":
		return "pg_catalog.english", nil
	case strings.Contains(name, "."):
		if missing {
			return nil, nil
		}
		return nil, fail("42704", "unrecognized configuration parameter \"%s\"", name)
	}
	return nil, refuse("the setting %s within a program", name)
}

// userName is current_user.
func (s *session) userName() string {
	if s.role.Name == "" {
		return ownerName
	}
	return s.role.Name
}
