//! Saving a controller so that the loaded one continues bit for bit: a safetensors document.
//!
//! | array | type, shape | holds |
//! |---|---|---|
//! | `parameters`, `adam.first`, `adam.second` | f32 `[P]` | the policy and Adam's moments |
//! | `sizes` | u64 `[T]` | choices behind each token, to refuse the state of another space |
//! | `counts` | u64 `[2]` | Adam's steps, rewards seen |
//! | `rewards` | f64 `[2]` | moving mean and variance of the rewards |

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Adam, Controller, ControllerError, Policy, RewardAverage, ValidPpoSettings};

impl Controller {
    /// The whole state as a safetensors document.
    ///
    /// # Errors
    /// [`ControllerError::State`] if the writer refuses an array.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ControllerError> {
        let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let counts = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let sizes: Vec<u64> = self.policy.sizes().iter().map(|&size| size as u64).collect();
        let rewards = [self.rewards.mean, self.rewards.variance].iter().flat_map(|value| value.to_le_bytes()).collect();
        let arrays: [(&str, Dtype, usize, Vec<u8>); 6] = [
            ("parameters", Dtype::F32, self.parameters.len(), floats(&self.parameters)),
            ("adam.first", Dtype::F32, self.parameters.len(), floats(&self.adam.first)),
            ("adam.second", Dtype::F32, self.parameters.len(), floats(&self.adam.second)),
            ("sizes", Dtype::U64, sizes.len(), counts(&sizes)),
            ("counts", Dtype::U64, 2, counts(&[self.adam.steps, self.rewards.count])),
            ("rewards", Dtype::F64, 2, rewards),
        ];
        let refused = |error: safetensors::SafeTensorError| ControllerError::State(error.to_string());
        let views = arrays
            .iter()
            .map(|(name, kind, length, data)| Ok((*name, TensorView::new(*kind, vec![*length], data)?)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(refused)?;
        safetensors::serialize(views, None).map_err(refused)
    }

    /// The controller that [`Controller::to_bytes`] saved, for the same token sizes and policy size; the other
    /// settings may differ from those it was saved with.
    ///
    /// # Errors
    /// [`ControllerError::State`] says what does not fit.
    pub fn from_bytes(bytes: &[u8], sizes: &[usize], settings: ValidPpoSettings) -> Result<Self, ControllerError> {
        let document = SafeTensors::deserialize(bytes).map_err(|error| ControllerError::State(error.to_string()))?;
        let saved_sizes = read(&document, "sizes", Dtype::U64, None, u64::from_le_bytes)?;
        if !saved_sizes.iter().eq(sizes.iter().map(|&size| size as u64).collect::<Vec<_>>().iter()) {
            return Err(ControllerError::State(format!("token sizes must be {sizes:?}, found {saved_sizes:?}")));
        }
        let policy = Policy::new(sizes, &settings);
        let length = policy.parameters();
        let floats = |name| read(&document, name, Dtype::F32, Some(length), f32::from_le_bytes);
        let counts = read(&document, "counts", Dtype::U64, Some(2), u64::from_le_bytes)?;
        let rewards = read(&document, "rewards", Dtype::F64, Some(2), f64::from_le_bytes)?;
        Ok(Self {
            parameters: floats("parameters")?,
            adam: Adam { first: floats("adam.first")?, second: floats("adam.second")?, steps: counts[0] },
            rewards: RewardAverage { mean: rewards[0], variance: rewards[1], count: counts[1] },
            policy,
            settings,
        })
    }

    /// Writes [`Controller::to_bytes`] to a file, atomically.
    ///
    /// # Errors
    /// [`ControllerError::File`] with the path.
    pub fn save(&self, path: &Path) -> Result<(), ControllerError> {
        Ok(crate::files::write_atomically(path, &self.to_bytes()?)?)
    }

    /// Reads a file of [`Controller::save`].
    ///
    /// # Errors
    /// [`ControllerError::File`] with the path, and as [`Controller::from_bytes`].
    pub fn load(path: &Path, sizes: &[usize], settings: ValidPpoSettings) -> Result<Self, ControllerError> {
        Self::from_bytes(&fs_err::read(path)?, sizes, settings)
    }
}

/// The values of one array, of the type and, if given, the length expected.
fn read<T, const N: usize>(
    document: &SafeTensors,
    name: &str,
    kind: Dtype,
    length: Option<usize>,
    from: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, ControllerError> {
    let array = document.tensor(name).map_err(|error| ControllerError::State(error.to_string()))?;
    let found: usize = array.shape().iter().product();
    if array.dtype() != kind || length.is_some_and(|length| length != found) {
        let length = length.map(|length| format!("{length} values of ")).unwrap_or_default();
        let problem = format!("'{name}' must be {length}{kind:?}, found {found} values of {:?}", array.dtype());
        return Err(ControllerError::State(problem));
    }
    let (values, _) = array.data().as_chunks::<N>();
    Ok(values.iter().map(|bytes| from(*bytes)).collect())
}
