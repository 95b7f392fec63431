namespace Nanograd.Bench

open System

/// Whether both sides computed the same numbers.
module Compare =
    /// The largest difference in a tensor, relative to the largest magnitude in it; infinite where only one is finite.
    let private ofTensor (ours: float32[]) (theirs: float32[]) =
        let mutable difference, largest = 0.0, 0.0
        for i in 0 .. ours.Length - 1 do
            let x, y = float ours[i], float theirs[i]
            if Double.IsFinite x && Double.IsFinite y then
                difference <- max difference (abs (x - y))
                largest <- max largest (abs y)
            elif not (x.Equals y) then
                difference <- infinity
        if difference = 0.0 then 0.0 else difference / max largest 1e-30

    /// The largest error of all results.
    let error (ours: (int[] * float32[])[]) (theirs: (int[] * float32[])[]) : float =
        if ours.Length <> theirs.Length then failwith $"{ours.Length} results here, {theirs.Length} there"
        let each =
            Array.map2
                (fun (shape: int[], x) (other: int[], y) ->
                    if shape <> other then failwith $"%A{shape} here, %A{other} there"
                    ofTensor x y)
                ours
                theirs
        Array.fold max 0.0 each
