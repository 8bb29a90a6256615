//! Random views of a batch of images, by the caller's generator.

use rand::Rng;
use tch::{Kind, Tensor};

use crate::Random;

/// Flips about half of the images left to right.
pub fn mirror(images: &Tensor, random: &mut Random) -> Tensor {
    let chosen: Vec<bool> = (0..images.size()[0]).map(|_| random.r#gen()).collect();
    let chosen = Tensor::from_slice(&chosen).to_device(images.device()).reshape([-1, 1, 1, 1]);
    images.flip([3]).where_self(&chosen, images)
}

/// Cuts a random rectangle out of each image and stretches it to the whole: Inception's preprocessing without its
/// changes of colour. The rectangle has `least_area` to 1 of the image's area, sides in a ratio of 3:4 to 4:3.
pub fn crop(images: &Tensor, least_area: f64, random: &mut Random) -> Tensor {
    let size = images.size();
    let views: Vec<f32> = (0..size[0]).flat_map(|_| view(least_area, random)).collect();
    let views = Tensor::from_slice(&views).reshape([-1, 2, 3]).to_device(images.device());
    let grid = Tensor::affine_grid_generator(&views, &size, false);
    let (bilinear, zeros_outside) = (0, 0);
    images.grid_sampler(&grid.to_kind(Kind::Float), bilinear, zeros_outside, false)
}

/// A view as an affine map from the output's to the input's coordinates, both from −1 to 1.
fn view(least_area: f64, random: &mut Random) -> [f32; 6] {
    let area = random.gen_range(least_area..=1.0);
    let ratio = random.gen_range((0.75f64).ln()..=(4.0f64 / 3.0).ln()).exp();
    let (width, height) = ((area * ratio).sqrt().min(1.0), (area / ratio).sqrt().min(1.0));
    let mut shift = |side: f64| (1.0 - side) * random.gen_range(-1.0..=1.0);
    let (right, down) = (shift(width), shift(height));
    [width, 0.0, right, 0.0, height, down].map(|value: f64| value as f32)
}
