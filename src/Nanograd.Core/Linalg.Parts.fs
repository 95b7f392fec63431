namespace Nanograd

open System
open System.Collections.Concurrent

/// What the factorisations are made of. All of them work on stacks of matrices `[batch; rows; columns]` in f32 or f64.
[<RequireQualifiedAccess>]
module internal Matrices =
    // ------------------------------------------------------------------------------------------------ operands

    let checkMatrix (op: string) (x: Tensor) =
        if x.Rank < 2 then Shape.fail op "the operand must be a matrix or a stack of them, [..; rows; columns]" "" [ x ]
        if not (DType.isFloat x.DType) then Shape.fail op "the elements must be floats" "cast it first" [ x ]

    let checkSquare (op: string) (x: Tensor) =
        checkMatrix op x
        let rows, columns = x.Shape[x.Rank - 2], x.Shape[x.Rank - 1]
        if rows <> columns then Shape.fail op $"the matrix must be square ({rows} and {columns})" "" [ x ]

    let rows (x: Tensor) = x.Shape[x.Rank - 2]
    let columns (x: Tensor) = x.Shape[x.Rank - 1]

    /// Leading axes as one.
    let flat (x: Tensor) =
        if x.Rank = 3 then x else Op.reshape [| Shape.count x.Shape[.. x.Rank - 3]; rows x; columns x |] x

    /// A function of stacks applied to matrices with any leading axes; 16-bit floats are computed in f32.
    let batched (f: Tensor -> Tensor[]) (x: Tensor) : Tensor[] =
        let leading = x.Shape[.. x.Rank - 3]
        let back (r: Tensor) =
            let dtype = if DType.isFloat r.DType then x.DType else r.DType
            Op.cast dtype (Op.reshape (Array.append leading r.Shape[1..]) r)
        f (flat (Op.cast (DType.arithmetic x.DType) x)) |> Array.map back

    let only (rs: Tensor[]) = rs[0]

    // ------------------------------------------------------------------------------------------------ small words

    let number (beside: Tensor) (v: float) = Op.constant (Constant.ofFloat beside.DType v)
    let zeros (x: Tensor) = Calculus.zeros x

    let product (x: Tensor) (y: Tensor) =
        Op.dot
            { LeftBatch = [| 0 |]
              RightBatch = [| 0 |]
              LeftSum = [| 2 |]
              RightSum = [| 1 |] }
            x
            y

    let transposed (x: Tensor) = Op.permute [| 0; 2; 1 |] x
    let private index (shape: int[]) (axis: int) = Op.iota DType.I64 shape axis

    /// Row and column numbers of a matrix compared: `[rows; columns]`.
    let private mask (comparison: Binary) rows columns =
        Op.binary comparison (index [| rows; columns |] 0) (index [| rows; columns |] 1)

    let private part comparison (x: Tensor) = Op.select (mask comparison (rows x) (columns x)) x (zeros x)
    let lower (x: Tensor) = part Binary.Ge x
    let upper (x: Tensor) = part Binary.Le x
    let strictlyLower (x: Tensor) = part Binary.Gt x
    let strictlyUpper (x: Tensor) = part Binary.Lt x
    let onDiagonal n = mask Binary.Eq n n

    /// The identity as `[batch; rows; columns]`.
    let identity (dtype: DType) batch rows columns =
        Op.broadcast [| batch; rows; columns |] (Op.cast dtype (mask Binary.Eq rows columns))

    /// The diagonal of square matrices: `[batch; n]`.
    let diagonal (x: Tensor) =
        let n, batch = columns x, x.Shape[0]
        x |> Op.reshape [| batch; n * n |] |> Op.slice [| 0; 0 |] [| batch; n * n |] [| 1; n + 1 |]

    /// `[batch; n]` on the diagonal of zeros.
    let onto (d: Tensor) =
        let n = d.Shape[1]
        let wide = Op.broadcast [| d.Shape[0]; n; n |] (Op.reshape [| d.Shape[0]; n; 1 |] d)
        Op.select (onDiagonal n) wide (zeros wide)

    /// Rows scaled by `[batch; rows]`.
    let scaleRows (d: Tensor) (x: Tensor) = Op.reshape [| d.Shape[0]; d.Shape[1]; 1 |] d * x
    /// Columns scaled by `[batch; columns]`.
    let scaleColumns (x: Tensor) (d: Tensor) = x * Op.reshape [| d.Shape[0]; 1; d.Shape[1] |] d

    let symmetric (x: Tensor) = x * 0.5 + transposed x * 0.5

    /// -1 for negative numbers, 1 for all others (0 too).
    let signOf (x: Tensor) =
        Op.select
            (Op.binary Binary.Lt x (number x 0.0))
            (Calculus.fill x.DType x.Shape -1.0)
            (Calculus.fill x.DType x.Shape 1.0)

    /// The index (i64) of the first largest element along an axis, which disappears; the last index where there is a NaN. Made
    /// of reductions, which loops compute in the same pass as what is around them.
    let firstLargest axis (x: Tensor) =
        let kept = x.Shape |> Array.mapi (fun i e -> if i = axis then 1 else e)
        let largest = Op.reshape kept (Op.reduce Reduction.Max [ axis ] x)
        let last = Op.constant (Constant.ofInt DType.I64 (int64 (x.Shape[axis] - 1)))
        Op.reduce Reduction.Min [ axis ] (Op.select (Op.binary Binary.Eq x largest) (index x.Shape axis) last)

    /// The power of two next below the largest magnitude of each matrix, 1 for zeros: `[batch; 1; 1]`. Dividing by it is
    /// exact, and squares of what remains do not overflow.
    let scaleOf (x: Tensor) =
        let largest = Op.reduce Reduction.Max [ 1; 2 ] (Op.unary Unary.Abs x)
        let bits, exponent = if x.DType = DType.F64 then DType.I64, 0x7FF0000000000000L else DType.I32, 0x7F800000L
        let power =
            Op.binary Binary.And (Op.bitCast bits largest) (Op.constant (Constant.ofInt bits exponent))
            |> Op.bitCast x.DType
        let isZero = Op.binary Binary.Eq power (number x 0.0)
        Op.select isZero (number x 1.0) power |> Op.reshape [| x.Shape[0]; 1; 1 |]

    let slice axis start stop (x: Tensor) =
        let at inside outside = Array.init x.Rank (fun i -> if i = axis then inside else outside i)
        Op.slice (at start (fun _ -> 0)) (at stop (fun i -> x.Shape[i])) (Array.create x.Rank 1) x

    // ------------------------------------------------------------------------------------------------ loops

    /// A loop over step numbers 0 .. length - 1 and slices of `scanned`: `body number carries slices` gives the next carries
    /// and the outputs of the step. Returns the last carries and the stacked outputs. There is at least one step: callers return
    /// early for matrices without elements, which have no row that a body could read.
    let loop (length: int) (reverse: bool) (carries: Tensor[]) (scanned: Tensor[]) body : Tensor[] * Tensor[] =
        let steps = index [| length |] 0
        let types = [| for t in carries -> t.DType, t.Shape |]
        let slices = [| for t in Array.append [| steps |] scanned -> t.DType, t.Shape[1..] |]
        let n = carries.Length
        let traced, captured =
            Lambda.trace (Array.append types slices) (fun vs ->
                let next, outputs = body vs[n] vs[.. n - 1] vs[n + 1 ..]
                Array.append next outputs)
        let s =
            { Body = traced
              Captured = captured.Length
              Carried = n
              Length = length
              Reverse = reverse }
        Op.scan s (Array.concat [ captured; carries; [| steps |]; scanned ]) |> Array.splitAt n

    /// Column `j` (a scalar that is data) of each matrix: `[batch; rows; 1]`.
    let column (j: Tensor) (x: Tensor) =
        let zero = Op.constant (Constant.ofInt DType.I64 0L)
        Op.dynamicSlice [| zero; zero; j |] [| x.Shape[0]; rows x; 1 |] x

    /// Row `j` of each matrix: `[batch; 1; columns]`.
    let row (j: Tensor) (x: Tensor) =
        let zero = Op.constant (Constant.ofInt DType.I64 0L)
        Op.dynamicSlice [| zero; j; zero |] [| x.Shape[0]; 1; columns x |] x

    /// The row number everywhere in a column `[1; rows; 1]`, the column number everywhere in a row `[1; 1; columns]`.
    let rowNumbers (x: Tensor) = index [| 1; rows x; 1 |] 1
    let columnNumbers (x: Tensor) = index [| 1; 1; columns x |] 2

    // ------------------------------------------------------------------------------------------------ own gradients

    /// A function with a gradient of its own. The gradient may use the function again, at a level below: it gets the level,
    /// the operands and the cotangents of the results. Neither may read tensors from outside.
    [<NoEquality; NoComparison>]
    type Rule =
        { Name: string
          Body: Tensor[] -> Tensor[]
          Gradient: int -> Tensor[] -> Tensor[] -> Tensor[] }

    /// How often a function can be differentiated by its own formula. A closed function cannot contain itself, so its
    /// gradient uses a copy with one derivative less; at level 0 differentiation goes through the body.
    let top = 4

    let private cache = ConcurrentDictionary<string, Custom>()

    let private known (rule: Rule) (level: int) (operands: Tensor[]) : Custom =
        let types = operands |> Array.map (fun t -> t.DType, t.Shape)
        let key = $"""{rule.Name} {level} {String.Join(" ", operands |> Array.map Shape.describe)}"""
        match cache.TryGetValue key with
        | true, c -> c
        | _ ->
            let parameters = types |> Array.mapi (fun i (d, s) -> Op.parameter i d s)
            let body = Lambda.make types (rule.Body parameters)
            let results = body.Results |> Array.map (fun r -> r.DType, r.Shape)
            let gradient () =
                let cotangents = results |> Array.mapi (fun i (d, s) -> Op.parameter (types.Length + i) d s)
                Lambda.make (Array.append types results) (rule.Gradient (level - 1) parameters cotangents)
            let c: Custom =
                { Name = rule.Name
                  Body = body
                  Gradient = if level = 0 then None else Some(gradient ()) }
            if cache.Count >= 4096 then cache.Clear() // as many shapes as a program may reasonably have
            cache[key] <- c
            c

    /// The function applied to operands.
    let apply (rule: Rule) (level: int) (operands: Tensor[]) : Tensor[] = Op.custom (known rule level operands) operands
