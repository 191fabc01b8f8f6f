//! What the engine needs of an `MLContext` and an `MLGraphBuilder`.

use crate::error::Result;
use crate::ir::TensorType;
use crate::tensor::DType;

/// WebNN's element types that graphs here use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// `float32`.
    Float32,
    /// `float16`.
    Float16,
    /// `int32`.
    Int32,
    /// `int8`.
    Int8,
    /// `int4`: two a byte, the first in the low half.
    Int4,
    /// `uint8`: what comparisons give and `where` takes.
    Uint8,
}

impl ElementType {
    /// WebNN's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int32 => "int32",
            Self::Uint8 => "uint8",
        }
    }
}

impl From<DType> for ElementType {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::Float32,
            DType::I32 => Self::Int32,
        }
    }
}

/// An argument or option of a builder's method.
#[derive(Clone, Debug)]
pub enum Attribute<O> {
    /// An operand.
    Operand(O),
    /// A list of operands.
    Operands(Vec<O>),
    /// A number.
    Number(f64),
    /// A list of whole numbers.
    Numbers(Vec<usize>),
    /// A truth value.
    Flag(bool),
    /// A name, such as an element type's.
    Text(&'static str),
}

/// An `MLGraphBuilder`.
#[expect(async_fn_in_trait, reason = "futures here are driven on one thread, in a page")]
pub trait GraphBuilding {
    /// `MLOperand`.
    type Operand: Clone;
    /// `MLGraph`.
    type Graph;

    /// An input of the graph.
    ///
    /// # Errors
    /// In the browser's words.
    fn input(&self, name: &str, ty: &TensorType) -> Result<Self::Operand>;

    /// A constant of the graph.
    ///
    /// # Errors
    /// In the browser's words.
    fn constant(&self, ty: &TensorType, bytes: &[u8]) -> Result<Self::Operand>;

    /// A constant of an element type that values of graphs do not have.
    ///
    /// # Errors
    /// In the browser's words.
    fn packed(&self, element: ElementType, shape: &[usize], bytes: &[u8]) -> Result<Self::Operand>;

    /// Calls the method `op`; `options`, if there are any, become its last argument.
    ///
    /// # Errors
    /// In the browser's words.
    fn op(
        &self,
        op: &'static str,
        arguments: &[Attribute<Self::Operand>],
        options: &[(&'static str, Attribute<Self::Operand>)],
    ) -> Result<Self::Operand>;

    /// Builds the graph of these outputs.
    ///
    /// # Errors
    /// In the browser's words.
    async fn build(&self, outputs: &[(String, Self::Operand)]) -> Result<Self::Graph>;
}

/// An `MLContext`.
#[expect(async_fn_in_trait, reason = "futures here are driven on one thread, in a page")]
pub trait Context {
    /// `MLTensor`.
    type Tensor: Clone + std::fmt::Debug;
    /// `MLGraph`.
    type Graph;
    /// `MLGraphBuilder`.
    type Builder: GraphBuilding<Graph = Self::Graph>;

    /// A new builder: each builds one graph.
    ///
    /// # Errors
    /// In the browser's words.
    fn builder(&self) -> Result<Self::Builder>;

    /// A zeroed tensor that can be read and written.
    ///
    /// # Errors
    /// In the browser's words.
    async fn tensor(&self, ty: &TensorType) -> Result<Self::Tensor>;

    /// Queues a write.
    ///
    /// # Errors
    /// In the browser's words.
    fn write(&self, tensor: &Self::Tensor, bytes: &[u8]) -> Result<()>;

    /// Queues an execution.
    ///
    /// # Errors
    /// In the browser's words.
    fn dispatch(
        &self,
        graph: &Self::Graph,
        inputs: &[(String, Self::Tensor)],
        outputs: &[(String, Self::Tensor)],
    ) -> Result<()>;

    /// Reads a tensor, after everything queued before.
    ///
    /// # Errors
    /// In the browser's words.
    async fn read(&self, tensor: &Self::Tensor) -> Result<Vec<u8>>;
}
