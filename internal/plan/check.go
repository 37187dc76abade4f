package plan

import "math"

// maxGUIDLength is the longest seat id, in characters: ids are in every key, message and address.
const maxGUIDLength = 64

// maxCoordinate keeps sums of positions finite and exact to a thousandth.
const maxCoordinate = 1e9

// check adds what is wrong with a plan that could be read. It leaves out the broken places, about
// which something has been said already.
func (p *Plan) check(found *problems, broken map[place]bool) {
	top := wholePlan()
	if p.Size.Width < 0 || p.Size.Height < 0 {
		found.add("size", "width and height must not be negative")
	}
	categories := p.checkCategories(found, broken)
	if p.seatCount() == 0 && len(broken) == 0 {
		found.add("zones", "the plan has no seats")
	}
	firstUse := make(map[string]place, p.seatCount())
	for z, zone := range p.Zones {
		for r, row := range zone.Rows {
			for s, seat := range row.Seats {
				at := top.inZone(z).inRow(r).inSeat(s)
				if broken[at] {
					continue
				}
				p.checkGUID(found, at, seat.GUID, firstUse)
				p.checkCategory(found, at, seat.Category, categories)
				xy := zone.Position.plus(row.Position).plus(seat.Position)
				if math.Abs(xy.X) > maxCoordinate || math.Abs(xy.Y) > maxCoordinate {
					found.add(p.path(at), "the position is more than %.0f from the origin", float64(maxCoordinate))
				}
			}
		}
	}
}

// checkCategories returns the set of category names, or nil where seats can't be checked against it.
func (p *Plan) checkCategories(found *problems, broken map[place]bool) map[string]int {
	top := wholePlan()
	if len(p.Categories) == 0 && !broken[top] {
		found.add("categories", "the plan has no categories, so no seat has a price")
	}
	names := make(map[string]int, len(p.Categories))
	complete := len(p.Categories) > 0
	for i, category := range p.Categories {
		at := top.inCategory(i)
		if broken[at] {
			complete = false
			continue
		}
		if category.Name == "" {
			found.add(p.path(at), "name is missing or empty")
			continue
		}
		if first, taken := names[category.Name]; taken {
			found.add(p.path(at), "the name is already used at categories[%d]", first)
			continue
		}
		names[category.Name] = i
	}
	if !complete {
		return nil
	}
	return names
}

func (p *Plan) checkCategory(found *problems, at place, category string, known map[string]int) {
	if known == nil {
		return
	}
	if category == "" {
		found.add(p.path(at), "category is missing or empty")
		return
	}
	if _, ok := known[category]; !ok {
		found.add(p.path(at), "category %s is not one of the plan's categories", quote(category))
	}
}

func (p *Plan) checkGUID(found *problems, at place, guid string, firstUse map[string]place) {
	if guid == "" {
		found.add(p.path(at), "seat_guid is missing or empty")
		return
	}
	if n := len([]rune(guid)); n > maxGUIDLength {
		found.add(p.path(at), "seat_guid %s has %d characters, the most is %d", quote(guid), n, maxGUIDLength)
	}
	for _, c := range guid {
		if !allowedInGUID(c) {
			found.add(p.path(at), "seat_guid %s contains %q, allowed are letters A to Z and a to z, digits and -_.:/#",
				quote(guid), c)
			break
		}
	}
	if first, taken := firstUse[guid]; taken {
		found.add(p.path(at), "seat_guid %s is already used at %s", quote(guid), p.path(first))
		return
	}
	firstUse[guid] = at
}

// allowedInGUID says which characters a seat id may have: those that mean nothing in a Redis key's hash
// tag, a list separated by commas, a quoted string or a stream's subject.
func allowedInGUID(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '_', '.', ':', '/', '#':
		return true
	}
	return false
}
