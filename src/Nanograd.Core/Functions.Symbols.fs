namespace Nanograd

/// Variables: what expressions and their derivatives are written in.
[<AutoOpen>]
module Symbols =
    /// <summary>A new variable of type f32: expressions of it print as algebra, and derivatives at it are expressions.</summary>
    /// <example><code>grad (fun x -> sum (x ** 2)) (variable "x" [| 3 |]) // 2·x</code></example>
    let variable (name: string) (shape: int[]) : Tensor = Op.input name DType.F32 shape

    /// <summary>A new scalar variable of type f32.</summary>
    /// <example><code>grad (fun x -> x ** 3) (symbol "x") // 3·x²</code></example>
    let symbol (name: string) : Tensor = variable name [||]
