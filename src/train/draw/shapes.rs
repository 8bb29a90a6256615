//! The drawn shapes as distances: negative inside, in units of the shape's radius, positive outside.

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrawnShape {
    Disc,
    Triangle,
    Square,
    Cross,
    Ring,
    Star,
    Crescent,
    Ell,
}

/// In the order in which classes take them.
pub(super) const SHAPES: [DrawnShape; 8] = [
    DrawnShape::Disc,
    DrawnShape::Triangle,
    DrawnShape::Square,
    DrawnShape::Cross,
    DrawnShape::Ring,
    DrawnShape::Star,
    DrawnShape::Crescent,
    DrawnShape::Ell,
];

impl DrawnShape {
    /// For folder names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disc => "disc",
            Self::Triangle => "triangle",
            Self::Square => "square",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Star => "star",
            Self::Crescent => "crescent",
            Self::Ell => "ell",
        }
    }

    /// Distance of a point to the outline, exact near straight edges and close enough elsewhere to smooth the edge.
    pub(super) fn distance(self, x: f32, y: f32) -> f32 {
        let radius = x.hypot(y);
        match self {
            Self::Disc => radius - 0.85,
            Self::Triangle => triangle(x, y),
            Self::Square => bar(x, y, 0.75, 0.75),
            Self::Cross => bar(x, y, 0.95, 0.3).min(bar(x, y, 0.3, 0.95)),
            Self::Ring => (radius - 0.7).abs() - 0.22,
            Self::Star => 0.8 * (radius - 0.65 - 0.3 * (5.0 * y.atan2(x)).cos()),
            Self::Crescent => (radius - 0.95).max(0.8 - (x - 0.45).hypot(y)),
            Self::Ell => bar(x + 0.55, y, 0.28, 0.9).min(bar(x, y - 0.62, 0.83, 0.28)),
        }
    }
}

/// An equilateral triangle: the farthest of three edges at distance 1/2.
fn triangle(x: f32, y: f32) -> f32 {
    let slope = 0.75f32.sqrt();
    y.max(slope * x - 0.5 * y).max(-slope * x - 0.5 * y) - 0.52
}

/// An upright rectangle of these half sides.
fn bar(x: f32, y: f32, half_width: f32, half_height: f32) -> f32 {
    (x.abs() - half_width).max(y.abs() - half_height)
}
