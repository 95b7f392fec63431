namespace Nanograd.Simd

open System.Collections.Generic
open Nanograd

/// What the passes over a row compute: pass s may use the results of reductions of earlier passes.
[<NoComparison; NoEquality>]
type internal Passes =
    {
        /// For each value, the first pass in which it can be computed (per row: before that pass).
        Stage: int[]
        Count: int
        /// Values kept from the pass that computes them for later ones, because computing them again costs more than memory.
        Saved: HashSet<int>
    }

[<RequireQualifiedAccess>]
module internal Passes =
    let private isCostly (t: Term) =
        match t with
        | Term.Unary(u, _) ->
            match u with
            | Unary.Exp
            | Unary.Log
            | Unary.Log1p
            | Unary.Expm1
            | Unary.Sin
            | Unary.Cos
            | Unary.Atan
            | Unary.Tanh
            | Unary.Erf -> true
            | Unary.Neg
            | Unary.Abs
            | Unary.Sign
            | Unary.Sqrt
            | Unary.Rsqrt
            | Unary.Floor
            | Unary.Ceil
            | Unary.Round
            | Unary.Not -> false
        | Term.Binary(b, _, _) ->
            match b with
            | Binary.Pow
            | Binary.Rem -> true
            | Binary.Add
            | Binary.Sub
            | Binary.Mul
            | Binary.Div
            | Binary.Max
            | Binary.Min
            | Binary.Eq
            | Binary.Ne
            | Binary.Lt
            | Binary.Le
            | Binary.Gt
            | Binary.Ge
            | Binary.And
            | Binary.Or
            | Binary.Xor
            | Binary.Shl
            | Binary.Shr -> false
        | Term.RandomBits _ -> true
        | Term.Scalar _
        | Term.Fixed _
        | Term.Load _
        | Term.LoadAt _
        | Term.Count _
        | Term.Select _
        | Term.Cast _
        | Term.BitCast _
        | Term.Reduced _ -> false

    /// Is the argument written at every element (perhaps with one value for the whole row)?
    let isElementStore (n: Nest) (argument: int) =
        n.Kind = NestKind.Rows && n.Arguments[argument].Advance <> Advance.Still

    /// The values per element that a pass needs for `roots`, not going beyond saved ones of earlier passes.
    let private needed (n: Nest) (stage: int[]) (saved: HashSet<int>) (pass: int) (roots: seq<int>) =
        let seen = HashSet<int>()
        let rec visit v =
            if n.Values[v].Level = Level.PerElement && seen.Add v && not (stage[v] < pass && saved.Contains v) then
                Array.iter visit (Kernel.operands n.Values[v].Term)
        Seq.iter visit roots
        seen

    let plan (n: Nest) : Passes =
        let stage = Array.zeroCreate<int> n.Values.Length
        n.Values
        |> Array.iteri (fun i v ->
            let latest = Kernel.operands v.Term |> Array.fold (fun s o -> max s stage[o]) 0
            stage[i] <-
                (match v.Term with
                 | Term.Reduced(_, x) -> stage[x] + 1
                 | _ -> latest))
        let rootsOf pass =
            [ for v in n.Values do
                  match v.Term with
                  | Term.Reduced(_, x) when stage[x] = pass -> x
                  | _ -> ()
              for struct (a, v) in n.Stores do
                  if isElementStore n a && stage[v] = pass then v ]
        let count = if n.Values.Length = 0 then 1 else 1 + Array.max stage
        let saved = HashSet<int>()
        for pass in 1 .. count - 1 do
            for v in needed n stage saved pass (rootsOf pass) do
                if stage[v] < pass && isCostly n.Values[v].Term then saved.Add v |> ignore
        { Stage = stage; Count = count; Saved = saved }
