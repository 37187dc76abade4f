package plan

// An Area is a shape drawn beside the seats (a stage, a pitch, a bar) or a piece of text. Nothing is
// sold by it. Its position is relative to its zone's.
type Area struct {
	Shape       string     `json:"shape"` // polygon, rectangle, ellipse, circle or text
	Position    Point      `json:"position"`
	Color       string     `json:"color,omitempty"`
	BorderColor string     `json:"border_color,omitempty"`
	Rotation    float64    `json:"rotation,omitempty"` // degrees clockwise about the position
	Rectangle   *Size      `json:"rectangle,omitempty"`
	Circle      *Circle    `json:"circle,omitempty"`
	Ellipse     *Ellipse   `json:"ellipse,omitempty"`
	Polygon     *Polygon   `json:"polygon,omitempty"`
	Text        *AreaLabel `json:"text,omitempty"`
}

// A Circle is drawn around its area's position.
type Circle struct {
	Radius float64 `json:"radius"`
}

// An Ellipse is drawn around its area's position, with a radius along each axis.
type Ellipse struct {
	Radius Point `json:"radius"`
}

// A Polygon's points are relative to its area's position.
type Polygon struct {
	Points []Point `json:"points"`
}

// An AreaLabel is text centred on its position, which is relative to its area's.
type AreaLabel struct {
	Text     string  `json:"text"`
	Position Point   `json:"position"`
	Color    string  `json:"color,omitempty"`
	Size     float64 `json:"size,omitempty"` // height of the letters; zero means 16
}
