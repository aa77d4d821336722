package postgres

import (
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Limits of roles and of what they are given. Whoever compiles a statement reads all of it.
const (
	maxRoles    = 1000
	maxGranted  = 1000 // roles that one relation or schema is granted to
	maxPolicies = 100  // of a table
)

func (c *compiler) createRole(e *edit, s *pg.CreateRoleStmt) (string, error) {
	if s.StmtType == pg.RoleStmtType_ROLESTMT_GROUP {
		return "", c.refuse(-1, "CREATE GROUP")
	}
	r := role{Name: s.Role, Login: s.StmtType == pg.RoleStmtType_ROLESTMT_USER}
	var into, in []*pg.Node
	for _, n := range s.Options {
		d := n.GetDefElem()
		switch d.Defname {
		case "canlogin":
			r.Login = d.Arg.GetBoolean().GetBoolval()
		case "superuser", "createdb", "createrole", "isreplication", "bypassrls":
			if d.Arg.GetBoolean().GetBoolval() {
				return "", c.refuse(-1, "the attribute %s of a role", strings.ToUpper(strings.TrimPrefix(d.Defname, "is")))
			}
		case "inherit":
			if !d.Arg.GetBoolean().GetBoolval() {
				return "", c.refuse(-1, "the attribute NOINHERIT of a role")
			}
		case "addroleto":
			into = d.Arg.GetList().GetItems()
		case "rolemembers":
			in = d.Arg.GetList().GetItems()
		default:
			return "", c.refuse(-1, "the option %s of a role", d.Defname)
		}
	}
	switch {
	case strings.HasPrefix(s.Role, "pg_"):
		return "", fail("42939", "role name \"%s\" is reserved", s.Role)
	case e.head.role(s.Role) != nil || s.Role == ownerName:
		return "", fail("42710", "role \"%s\" already exists", s.Role)
	case strings.Contains(s.Role, "/"):
		return "", c.refuse(-1, "a slash in a role's name")
	case len(e.head.Roles) >= maxRoles:
		return "", fail("54000", "a database has at most %d roles", maxRoles)
	}
	r.OID = e.oid()
	e.head.Roles = append(e.head.Roles, r)
	e.headed = true
	for _, n := range into {
		if err := c.include(e, n.GetRoleSpec(), &pg.RoleSpec{Roletype: pg.RoleSpecType_ROLESPEC_CSTRING, Rolename: s.Role}, true); err != nil {
			return "", err
		}
	}
	for _, n := range in {
		if err := c.include(e, &pg.RoleSpec{Roletype: pg.RoleSpecType_ROLESPEC_CSTRING, Rolename: s.Role}, n.GetRoleSpec(), true); err != nil {
			return "", err
		}
	}
	return "CREATE ROLE", nil
}

// named finds the role that a statement names.
func (c *compiler) named(e *edit, s *pg.RoleSpec) (*role, error) {
	if s.GetRoletype() != pg.RoleSpecType_ROLESPEC_CSTRING {
		return nil, c.refuse(s.GetLocation(), "CURRENT_USER, SESSION_USER or PUBLIC here")
	}
	r := e.head.role(s.Rolename)
	if r == nil {
		if s.Rolename == ownerName {
			return nil, c.refuse(s.Location, "changing the owner's rights")
		}
		return nil, fail("42704", "role \"%s\" does not exist", s.Rolename)
	}
	return r, nil
}

func (c *compiler) dropRole(e *edit, s *pg.DropRoleStmt) (string, error) {
	for _, n := range s.Roles {
		r, err := c.named(e, n.GetRoleSpec())
		if err != nil {
			if s.MissingOk && toError(err).Code == "42704" {
				continue
			}
			return "", err
		}
		o := r.OID
		used := slices.ContainsFunc(e.head.Schemas, func(n namespace) bool { return hasRole(n.Grants, o) })
		for _, rel := range e.byOID {
			used = used || hasRole(rel.Grants, o) || slices.ContainsFunc(rel.Policies, func(p *policy) bool { return slices.Contains(p.Roles, o) })
		}
		if used {
			return "", fail("2BP01", "role \"%s\" cannot be dropped because some objects depend on it", r.Name)
		}
		e.head.Roles = slices.DeleteFunc(slices.Clone(e.head.Roles), func(x role) bool { return x.OID == o })
		for i := range e.head.Roles {
			x := &e.head.Roles[i]
			x.In = slices.DeleteFunc(slices.Clone(x.In), func(in uint32) bool { return in == o })
		}
		e.headed = true
	}
	return "DROP ROLE", nil
}

func hasRole(list []granted, o uint32) bool {
	return slices.ContainsFunc(list, func(g granted) bool { return g.Role == o })
}

func (c *compiler) grantRole(e *edit, s *pg.GrantRoleStmt) (string, error) {
	if len(s.Opt) > 0 || s.Grantor != nil {
		return "", c.refuse(-1, "options and grantors of GRANT")
	}
	tag := "REVOKE ROLE"
	if s.IsGrant {
		tag = "GRANT ROLE"
	}
	for _, g := range s.GrantedRoles {
		for _, n := range s.GranteeRoles {
			of := &pg.RoleSpec{Roletype: pg.RoleSpecType_ROLESPEC_CSTRING, Rolename: g.GetAccessPriv().GetPrivName()}
			if err := c.include(e, of, n.GetRoleSpec(), s.IsGrant); err != nil {
				return "", err
			}
		}
	}
	return tag, nil
}

// include makes a role a member of another, or ends that.
func (c *compiler) include(e *edit, of, member *pg.RoleSpec, is bool) error {
	group, err := c.named(e, of)
	if err != nil {
		return err
	}
	m, err := c.named(e, member)
	if err != nil {
		return err
	}
	if is && slices.Contains(e.head.included(group.OID), m.OID) {
		return fail("0LP01", "role \"%s\" is a member of role \"%s\"", group.Name, m.Name)
	}
	list := slices.DeleteFunc(slices.Clone(m.In), func(o uint32) bool { return o == group.OID })
	if is {
		list = append(list, group.OID)
	}
	m.In, e.headed = list, true
	return nil
}

// grant compiles GRANT and REVOKE of rights.
func (c *compiler) grant(e *edit, s *pg.GrantStmt) (string, error) {
	tag := "REVOKE"
	if s.IsGrant {
		tag = "GRANT"
	}
	if s.GrantOption || s.Grantor != nil {
		return "", c.refuse(-1, "grant options and grantors")
	}
	var roles []uint32
	for _, n := range s.Grantees {
		spec := n.GetRoleSpec()
		if spec.GetRoletype() == pg.RoleSpecType_ROLESPEC_PUBLIC {
			roles = append(roles, everyone)
			continue
		}
		r, err := c.named(e, spec)
		if err != nil {
			return "", err
		}
		roles = append(roles, r.OID)
	}
	change := func(list []granted, rights string) ([]granted, error) {
		for _, o := range roles {
			list = regranted(list, o, rights, s.IsGrant)
		}
		if len(list) > maxGranted {
			return nil, fail("54000", "granted to more than %d roles", maxGranted)
		}
		return list, nil
	}
	var relations []*relation
	switch {
	case s.Objtype == pg.ObjectType_OBJECT_SCHEMA && s.Targtype == pg.GrantTargetType_ACL_TARGET_OBJECT:
		rights, err := c.rights(s.Privileges, "n")
		if err != nil {
			return "", err
		}
		for _, n := range s.Objects {
			name := n.GetString_().GetSval()
			x := e.schema(name)
			if x == nil {
				return "", fail("3F000", "schema \"%s\" does not exist", name)
			}
			if x.Grants, err = change(x.Grants, rights); err != nil {
				return "", err
			}
			e.headed = true
		}
		return tag, nil
	case s.Objtype != pg.ObjectType_OBJECT_TABLE && s.Objtype != pg.ObjectType_OBJECT_SEQUENCE:
		return "", c.refuse(-1, "rights for this kind of object")
	case s.Targtype == pg.GrantTargetType_ACL_TARGET_OBJECT:
		for _, n := range s.Objects {
			r, err := c.findFor(e, n.GetRangeVar(), false)
			if err != nil {
				return "", err
			}
			if r.Kind == "i" {
				return "", fail("42809", "\"%s\" is an index", r.Name)
			}
			if s.Objtype == pg.ObjectType_OBJECT_SEQUENCE && r.Kind != "S" {
				return "", fail("42809", "\"%s\" is not a sequence", r.Name)
			}
			relations = append(relations, r)
		}
	case s.Targtype == pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA:
		for _, n := range s.Objects {
			name := n.GetString_().GetSval()
			if e.schema(name) == nil {
				return "", fail("3F000", "schema \"%s\" does not exist", name)
			}
			for _, r := range e.all() {
				if r.Schema == name && (r.Kind == "S") == (s.Objtype == pg.ObjectType_OBJECT_SEQUENCE) && r.Kind != "i" {
					relations = append(relations, r)
				}
			}
		}
	default:
		return "", c.refuse(-1, "default privileges")
	}
	for _, r := range relations {
		kind := r.Kind
		if s.Objtype == pg.ObjectType_OBJECT_SEQUENCE {
			kind = "S"
		}
		rights, err := c.rights(s.Privileges, kind)
		if err != nil {
			return "", err
		}
		r = e.change(r)
		if r.Grants, err = change(r.Grants, rights); err != nil {
			return "", err
		}
	}
	return tag, nil
}

var grantKinds = map[string]string{"r": "relation", "v": "relation", "S": "sequence", "n": "schema"}

// rights reads a list of privileges; none is all.
func (c *compiler) rights(list []*pg.Node, kind string) (string, error) {
	all := allRights[kind]
	if len(list) == 0 {
		return all, nil
	}
	out := ""
	for _, n := range list {
		p := n.GetAccessPriv()
		if len(p.Cols) > 0 {
			return "", c.refuse(-1, "rights for single columns")
		}
		letter := byte(0)
		for l, name := range rightNames {
			if strings.EqualFold(name, p.PrivName) {
				letter = l
			}
		}
		if letter == 0 && slices.Contains([]string{"execute", "connect", "create", "temporary", "temp", "set", "alter system", "maintain"}, strings.ToLower(p.PrivName)) {
			return "", fail("0LP01", "invalid privilege type %s for %s", strings.ToUpper(p.PrivName), grantKinds[kind])
		}
		if letter == 0 {
			return "", fail("42601", "unrecognized privilege type \"%s\"", p.PrivName)
		}
		if !strings.Contains(all, string(letter)) {
			return "", fail("0LP01", "invalid privilege type %s for %s", rightNames[letter], grantKinds[kind])
		}
		out += string(letter)
	}
	return out, nil
}

// regranted is a list in which a role has rights more, or fewer.
func regranted(list []granted, o uint32, rights string, more bool) []granted {
	out := slices.Clone(list)
	i := slices.IndexFunc(out, func(g granted) bool { return g.Role == o })
	if i < 0 {
		if !more {
			return out
		}
		out, i = append(out, granted{Role: o}), len(out)
	}
	was := out[i].Rights
	out[i].Rights = ""
	for _, l := range rightLetters {
		has := strings.ContainsRune(was, l)
		if strings.ContainsRune(rights, l) {
			has = more
		}
		if has {
			out[i].Rights += string(l)
		}
	}
	if out[i].Rights == "" {
		out = slices.Delete(out, i, i+1)
	}
	return out
}
