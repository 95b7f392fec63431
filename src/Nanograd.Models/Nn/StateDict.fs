namespace Nanograd

open System
open System.Text
open System.Text.RegularExpressions

/// The names that tensors of models have in PyTorch's state dictionaries.
[<RequireQualifiedAccess>]
module StateDict =
    /// Lengths, directions and singular vectors of weights: PyTorch joins them to the weight's name.
    let private ofWeight = Regex(@"\.(g|v|u)$")

    let private recurrent = Regex(@"(^|\.)layers\.(\d+)\.(forward|reverse)\.(\w+)$")

    /// `WeightIh` as `weight_ih`, `Linear1` as `linear1`.
    let private snake (path: string) =
        let text = StringBuilder()
        path
        |> Seq.iteri (fun i c ->
            if i > 0 && Char.IsUpper c && path[i - 1] <> '.' then text.Append '_' |> ignore
            text.Append(Char.ToLowerInvariant c) |> ignore)
        text.ToString()

    /// A path of `Tree.named` in PyTorch's spelling: `SelfAttn.InProjWeight` as `self_attn.in_proj_weight`, a recurrent
    /// network's `Layers.1.Reverse.BiasHh` as `bias_hh_l1_reverse`, a normalised weight's `Weight.G` as `weight_g`.
    let name (path: string) : string =
        recurrent.Replace(
            ofWeight.Replace(snake path, "_$1"),
            fun m ->
                let suffix = if m.Groups[3].Value = "reverse" then "_reverse" else ""
                $"{m.Groups[1].Value}{m.Groups[4].Value}_l{m.Groups[2].Value}{suffix}"
        )

    /// The tensors of a model with their names in PyTorch.
    let named (model: 'T) : (string * Tensor)[] = Tree.named model |> Array.map (fun (path, t) -> name path, t)

    /// The model with the tensors of these names. Names that are missing, left over or of another shape are all listed in
    /// one ArgumentException.
    let load (tensors: seq<string * Tensor>) (model: 'T) : 'T =
        let given = dict tensors
        let own = named model
        let missing = own |> Array.filter (fun (n, _) -> not (given.ContainsKey n)) |> Array.map fst
        let unknown = given.Keys |> Seq.filter (fun n -> not (Array.exists (fun (m, _) -> m = n) own)) |> Seq.toArray
        let misshaped =
            [| for n, t in own do
                   match given.TryGetValue n with
                   | true, g when g.Shape <> t.Shape -> $"{n} {Shape.describe g} for {Shape.describe t}"
                   | _ -> () |]
        let part what (names: string[]) = if names.Length = 0 then [] else [ what + " " + String.Join(", ", names) ]
        match part "missing:" missing @ part "unknown:" unknown @ part "of another shape:" misshaped with
        | [] -> Tree.rebuild model (own |> Array.map (fun (n, _) -> given[n]))
        | problems ->
            raise (ArgumentException("The state dictionary does not fit: " + String.Join("; ", problems) + "."))
