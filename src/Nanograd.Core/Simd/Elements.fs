namespace Nanograd.Simd

open System
open System.Numerics
open Nanograd

/// Something to do with the numbers of one type, as .NET computes them: floats by IEEE, integers wrapping around.
type internal OnNumber<'R> =
    abstract Of<'T when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> INumber<'T>> :
        unit -> 'R

/// From an element type known when a program is compiled to code made for it.
[<RequireQualifiedAccess>]
module internal OnNumber =
    let on (dtype: DType) (f: OnNumber<'R>) : 'R =
        match dtype with
        | DType.F64 -> f.Of<float>()
        | DType.F32 -> f.Of<float32>()
        | DType.I64 -> f.Of<int64>()
        | DType.I32 -> f.Of<int>()
        | DType.U32 -> f.Of<uint32>()
        | DType.U8 -> f.Of<byte>()
        | DType.I8 -> f.Of<sbyte>()
        | DType.F16
        | DType.BF16
        | DType.Bool -> invalidOp $"{dtype} is computed in another type"
