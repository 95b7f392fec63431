namespace Nanograd

open System
open System.Collections.Generic
open System.Text

/// What a rule may expand to: words and other rules in a row, as often as its weight says.
type internal Alternative = { Weight: int; Symbols: Symbol[] }

/// A part of an alternative.
and [<RequireQualifiedAccess>] internal Symbol =
    | Word of string
    | Rule of int

/// A weighted context-free grammar whose terminals are words and punctuation. One value both generates and recognises.
type internal Grammar =
    {
        Names: string[]
        Rules: Alternative[][]
        /// Rules whose alternative is chosen once for a whole story (the hero's name, the place).
        Pinned: bool[]
    }

/// A notation for grammars, and what can be done with them.
///
/// Each line is `<rule> = words and <rules> | 3: an alternative of weight 3`; a further line of the same rule adds
/// alternatives; `<rule>!` pins it. A line with `@` in its rule's name stands for one line per variant: `@` becomes
/// `.f`, `.m`, ..., and `{she}` the variant's own word for "she".
[<RequireQualifiedAccess>]
module internal Grammar =
    let private fail (line: string) (what: string) : 'a = invalidArg "text" $"grammar: {what} in '{line}'"

    /// Parses a grammar. A variant is its suffix and its words.
    let parse (variants: (string * Map<string, string>) list) (text: string) : Grammar =
        let lines =
            text.Split '\n'
            |> Array.map (fun l -> l.Trim())
            |> Array.filter (fun l -> l <> "" && not (l.StartsWith '#'))
        let forVariant (line: string) (suffix: string, words: Map<string, string>) =
            let named = line.Replace("@", "." + suffix)
            words |> Map.fold (fun (s: string) key word -> s.Replace("{" + key + "}", word)) named
        let expanded =
            lines
            |> Array.collect (fun l -> if l.Contains '@' then [| for v in variants -> forVariant l v |] else [| l |])
        let numbers, definitions, pinned = Dictionary<string, int>(), List<List<string>>(), List<bool>()
        for line in expanded do
            let at = line.IndexOf " = "
            if at < 0 || line[0] <> '<' then fail line "there must be '<rule> = '"
            let head = line[.. at - 1].Trim()
            let name = head.TrimEnd '!'
            if not (numbers.ContainsKey name) then
                numbers[name] <- definitions.Count
                definitions.Add(List())
                pinned.Add(head.EndsWith '!')
            definitions[numbers[name]].AddRange(line[at + 3 ..].Split '|')
        let symbol line (word: string) =
            if word.StartsWith '<' then
                match numbers.TryGetValue word with
                | true, n -> Symbol.Rule n
                | _ -> fail line $"{word} has no rule"
            elif word.Contains '{' then
                fail line $"{word} has no meaning"
            else
                Symbol.Word word
        let alternative (source: string) =
            let words = source.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            if words.Length = 0 then fail source "an alternative is empty"
            match words[0].EndsWith ':', Int32.TryParse(words[0].TrimEnd ':') with
            | true, (true, weight) -> { Weight = weight; Symbols = Array.map (symbol source) words[1..] }
            | _ -> { Weight = 1; Symbols = Array.map (symbol source) words }
        let names = Array.create numbers.Count ""
        for pair in numbers do
            names[pair.Value] <- pair.Key
        { Names = names
          Rules = [| for d in definitions -> [| for a in d -> alternative a |] |]
          Pinned = pinned.ToArray() }

    /// The number of a rule.
    let rule (g: Grammar) (name: string) = Array.IndexOf(g.Names, name)

    /// An alternative of a rule, by weight; `draw` gives 32 random bits.
    let private choose (g: Grammar) (rule: int) (draw: unit -> uint32) =
        let total = g.Rules[rule] |> Array.sumBy (fun a -> a.Weight)
        let mutable rest = int (uint64 (draw ()) * uint64 total >>> 32)
        let mutable i = 0
        while rest >= g.Rules[rule].[i].Weight do
            rest <- rest - g.Rules[rule].[i].Weight
            i <- i + 1
        i

    /// The choices that hold for a whole story: the alternative of each pinned rule, -1 for the others.
    let pins (g: Grammar) (draw: unit -> uint32) : int[] =
        Array.init g.Rules.Length (fun r -> if g.Pinned[r] then choose g r draw else -1)

    /// The words of one expansion of a rule.
    let expand (g: Grammar) (pins: int[]) (start: int) (draw: unit -> uint32) : List<string> =
        let words = List<string>()
        let rec visit rule =
            let i = if pins[rule] >= 0 then pins[rule] else choose g rule draw
            for s in g.Rules[rule].[i].Symbols do
                match s with
                | Symbol.Word w -> words.Add w
                | Symbol.Rule r -> visit r
        visit start
        words

    /// The rules in one expansion of a rule whose alternatives consist of rules: the plan of a story.
    let plan (g: Grammar) (start: int) (draw: unit -> uint32) : int[] =
        g.Rules[start].[choose g start draw].Symbols
        |> Array.choose (fun s ->
            match s with
            | Symbol.Rule r -> Some r
            | Symbol.Word _ -> None)

    /// True when the words are an expansion of the rule. Finds, for each rule and place, all places where it may end
    /// (each pair once); the grammar must not be left-recursive.
    let recognise (g: Grammar) (start: int) (words: string[]) : bool =
        let known = Dictionary<struct (int * int), int[]>()
        let rec endsOfRule rule at : int[] =
            match known.TryGetValue(struct (rule, at)) with
            | true, ends -> ends
            | _ ->
                let ends = g.Rules[rule] |> Array.collect (fun a -> endsOfSymbols a.Symbols at) |> Array.distinct
                known[struct (rule, at)] <- ends
                ends
        and endsOfSymbols symbols at =
            let step (places: int[]) symbol =
                match symbol with
                | Symbol.Word w ->
                    places |> Array.filter (fun p -> p < words.Length && words[p] = w) |> Array.map ((+) 1)
                | Symbol.Rule r -> places |> Array.collect (endsOfRule r) |> Array.distinct
            Array.fold step [| at |] symbols
        Array.contains words.Length (endsOfRule start 0)

    // ---- words and text

    let private isMark (c: char) = c = ',' || c = '.' || c = '!' || c = '?'

    /// The sentence of words: marks stand close, an opening quotation mark (a word `"`) before its word, and the
    /// first word of the sentence and of a quotation has a capital.
    let render (words: seq<string>) : string =
        let text = StringBuilder()
        let mutable capital, glued = true, true
        for w in words do
            if not glued && not (isMark w[0]) then text.Append ' ' |> ignore
            if w = "\"" then
                text.Append w |> ignore
                capital <- true
                glued <- true
            else
                text.Append(if capital then Char.ToUpperInvariant w[0] else w[0]).Append(w, 1, w.Length - 1) |> ignore
                capital <- false
                glued <- false
        text.ToString()

    /// The words of a sentence, such that `render` gives the sentence back; None when there are none. A capital that
    /// only the place asks for is written small unless `isName` knows the word.
    let words (isName: string -> bool) (sentence: string) : string[] option =
        let found = List<string>()
        let mutable capital = true
        let addWord (w: string) =
            found.Add(if capital && not (isName w) then string (Char.ToLowerInvariant w[0]) + w[1..] else w)
            capital <- false
        for chunk in sentence.Split(' ', StringSplitOptions.RemoveEmptyEntries) do
            let opening = chunk[0] = '"'
            if opening then
                found.Add "\""
                capital <- true
            let rest = if opening then chunk[1..] else chunk
            let mark = rest.IndexOfAny [| ','; '.'; '!'; '?' |]
            let body = if mark < 0 then rest else rest[.. mark - 1]
            if body <> "" then addWord body
            if mark >= 0 then found.Add rest[mark..]
        let result = found.ToArray()
        if result.Length > 0 && render result = sentence then Some result else None
