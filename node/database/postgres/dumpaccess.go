package postgres

import (
	"slices"
	"strings"
)

// roles makes the roles, by name, and puts them into others.
func (d *dumping) roles() error {
	all := slices.Clone(d.cat.head.Roles)
	slices.SortFunc(all, func(a, b role) int { return strings.Compare(a.Name, b.Name) })
	for _, r := range all {
		login := ""
		if r.Login {
			login = " LOGIN"
		}
		if err := d.say("CREATE ROLE %s%s", quoteIdent(r.Name), login); err != nil {
			return err
		}
	}
	for _, r := range all {
		for _, in := range d.roleNames(r.In) {
			if err := d.say("GRANT %s TO %s", in, quoteIdent(r.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// roleNames are roles as SQL names them, by name.
func (d *dumping) roleNames(oids []uint32) (names []string) {
	for _, o := range oids {
		if o == everyone {
			names = append(names, "PUBLIC")
		} else if r := d.cat.head.roleOf(o); r != nil {
			names = append(names, quoteIdent(r.Name))
		}
	}
	slices.Sort(names)
	return names
}

// access says what roles may do, behind all that they may do it with.
func (d *dumping) access() error {
	schemas := slices.Clone(d.cat.head.Schemas)
	slices.SortFunc(schemas, func(a, b namespace) int { return strings.Compare(a.Name, b.Name) })
	for _, n := range schemas {
		had := []granted(nil)
		if n.Name == publicSchema {
			had = emptyCatalog().head.Schemas[0].Grants
		}
		if err := d.grants("SCHEMA "+quoteIdent(n.Name), n.Grants, had); err != nil {
			return err
		}
	}
	for _, kind := range []struct{ letter, word string }{{"r", "TABLE "}, {"v", "TABLE "}, {"S", "SEQUENCE "}} {
		for _, r := range d.of(kind.letter) {
			if err := d.grants(kind.word+qualified(r), r.Grants, nil); err != nil {
				return err
			}
			if err := d.policies(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// grants says who may do what with an object, where that is not what it had when it was made.
func (d *dumping) grants(what string, has, had []granted) error {
	rightsOf := func(list []granted, o uint32) string {
		if i := slices.IndexFunc(list, func(g granted) bool { return g.Role == o }); i >= 0 {
			return list[i].Rights
		}
		return ""
	}
	var statements []string
	seen := map[uint32]bool{}
	for _, g := range append(slices.Clone(has), had...) {
		names := d.roleNames([]uint32{g.Role})
		if seen[g.Role] || len(names) == 0 {
			continue
		}
		seen[g.Role] = true
		var more, less []string
		for _, l := range rightLetters {
			now, before := strings.ContainsRune(rightsOf(has, g.Role), l), strings.ContainsRune(rightsOf(had, g.Role), l)
			if now && !before {
				more = append(more, rightNames[byte(l)])
			}
			if before && !now {
				less = append(less, rightNames[byte(l)])
			}
		}
		if len(more) > 0 {
			statements = append(statements, "GRANT "+strings.Join(more, ", ")+" ON "+what+" TO "+names[0])
		}
		if len(less) > 0 {
			statements = append(statements, "REVOKE "+strings.Join(less, ", ")+" ON "+what+" FROM "+names[0])
		}
	}
	slices.Sort(statements)
	for _, s := range statements {
		if err := d.say("%s", s); err != nil {
			return err
		}
	}
	return nil
}

// policies writes a table's row security.
func (d *dumping) policies(r *relation) error {
	for _, s := range []struct {
		is   bool
		word string
	}{{r.RowSecurity, "ENABLE"}, {r.ForceRows, "FORCE"}} {
		if !s.is {
			continue
		}
		if err := d.say("ALTER TABLE %s %s ROW LEVEL SECURITY", qualified(r), s.word); err != nil {
			return err
		}
	}
	all := slices.Clone(r.Policies)
	slices.SortFunc(all, func(a, b *policy) int { return strings.Compare(a.Name, b.Name) })
	for _, p := range all {
		s := "CREATE POLICY " + quoteIdent(p.Name) + " ON " + qualified(r)
		if p.Restrictive {
			s += " AS RESTRICTIVE"
		}
		for word, letter := range policyCommands {
			if letter == p.Command && letter != "*" {
				s += " FOR " + strings.ToUpper(word)
			}
		}
		s += " TO " + strings.Join(d.roleNames(p.Roles), ", ")
		if p.Using != "" {
			s += " USING (" + p.Using + ")"
		}
		if p.Check != "" {
			s += " WITH CHECK (" + p.Check + ")"
		}
		if err := d.say("%s", s); err != nil {
			return err
		}
	}
	return nil
}
