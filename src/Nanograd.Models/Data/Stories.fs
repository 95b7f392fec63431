namespace Nanograd

open System
open System.Collections.Generic
open System.Text

/// Short English stories for children, made by a grammar of our own: a hero with a name and the right pronouns, a
/// friend, a place and a toy that stay the same through a story. The same grammar tells whether a sentence is one
/// that it could have made.
[<RequireQualifiedAccess>]
module Stories =
    /// Heroes: girls, boys and animals, each with their pronouns.
    let private variants =
        let words (she, her, hers) = Map [ "she", she; "her", her; "hers", hers ]
        [ "f", words ("she", "her", "her"); "m", words ("he", "him", "his"); "n", words ("it", "it", "its") ]

    // A story is a row of sentences; a sentence is a row of words. Most sentences have 20 to 60 characters.
    let private source =
        """
        # ---- who and what
        <name.f>! = Mia | Lily | Anna | Rosa
        <name.m>! = Tom | Ben | Max | Sam
        <name.n> = the <animal> | the little <animal>
        <animal>! = fox | bear | mouse | duck | cat
        <woman>! = Grandma | Mama | Kate
        <man>! = Grandpa | Papa | Jack
        <pet>! = dog | frog | bird | rabbit | horse
        <friend>! = 2: <woman> | 2: <man> | 3: the <pet>
        <who@> = 2: <name@> | <friend>
        <place>! = park | river | lake | farm | beach | garden
        <toy>! = ball | kite | boat | hat | book | bell
        <color>! = red | blue | green | yellow | shiny | tiny
        <treat>! = cake | bread | soup | honey | milk
        <kind> = kind | brave | happy | funny | clever
        <glad> = happy | glad | proud
        <sad> = sad | tired | cold | afraid
        <play> = sing | dance | read
        <game> = jump | swim | run
        <weather> = sunny | windy | rainy | warm | cold
        <where> = under a tree | behind the house | in the grass
        <there> = near the water | on a big stone | under the bed
        <spot> = <where> | <there>

        # ---- how stories begin
        <open.f> = 3: once there was a girl named <name.f> . | once upon a time there was a girl named <name.f> .
        <open.f> = there was a <kind> little girl named <name.f> . | <name.f> was a <kind> little girl .
        <open.m> = 3: once there was a boy named <name.m> . | once upon a time there was a boy named <name.m> .
        <open.m> = there was a <kind> little boy named <name.m> . | <name.m> was a <kind> little boy .
        <open.n> = 2: once there was a <kind> little <animal> . | once upon a time there was a <kind> <animal> .
        <open.n> = a <kind> little <animal> lived near the <place> .
        <about@> = 2: {she} had a <color> <toy> . | {she} lived in a small house near the <place> .
        <about@> = {she} loved to <play> and <game> . | {she} loved {hers} <color> <toy> very much .
        <about@> = every day {she} played with {hers} <toy> . | {she} lived near the <place> with <friend> .
        <go@> = 2: one day <name@> went to the <place> . | one <weather> day {she} went to the <place> .
        <go@> = <name@> and <friend> went to the <place> . | one morning {she} ran to the <place> with <friend> .
        <go@> = {she} took {hers} <toy> and went to the <place> . | <name@> wanted to <game> at the <place> .

        # ---- the lost toy
        <lost@> = 2: but then {she} lost {hers} <toy> . | at the <place> {she} lost {hers} <color> <toy> .
        <lost@> = <name@> could not find {hers} <toy> . | the wind took {hers} <toy> away .
        <lost@> = {hers} <color> <toy> fell into the water . | when {she} came home , the <toy> was gone .
        <sorry@> = <name@> was very <sad> . | {she} felt <sad> and began to cry . | {she} sat down and cried .
        <sorry@> = {she} did not know what to do .
        <ask@> = " where is my <toy> ?" asked <name@> . | " I can not find my <toy> ," said <name@> .
        <ask@> = " why are you so sad ?" asked <friend> . | " please help me ," said <who@> .
        <offer@> = " do not cry ," said <friend> . | " I will help you ," said <friend> .
        <offer@> = " we can look for it ," said <friend> . | <friend> said , " let us look for it ."
        <help@> = <friend> helped {her} look for the <toy> . | they looked <where> and <there> .
        <help@> = they looked <spot> , but it was not there . | {she} looked for {hers} <toy> all day .
        <found@> = 2: then <friend> found the <toy> <spot> . | at last {she} found {hers} <toy> <spot> .
        <found@> = <friend> saw the <color> <toy> <spot> . | " look , here is your <toy> !" said <friend> .

        # ---- the new friend
        <meet@> = 2: there {she} met <friend> . | {she} saw <friend> <spot> . | at the <place> {she} saw <friend> .
        <need@> = <friend> was hungry and <sad> . | <friend> looked very <sad> .
        <need@> = <friend> had no <treat> and no <toy> .
        <greet@> = " hello , do you want to play ?" asked <who@> . | " hello , I am <friend> ," said <friend> .
        <greet@> = " yes , let us play ," said <who@> . | " I am so hungry ," said <who@> .
        <share@> = {she} had some <treat> in {hers} bag . | {she} gave <friend> some <treat> .
        <share@> = " you can have some <treat> ," said <who@> . | " you can play with my <toy> ," said <who@> .
        <eat@> = they sat <spot> and had some <treat> . | they played with the <color> <toy> all day .
        <eat@> = <name@> and <friend> ate the <treat> . | they began to <play> and <game> .

        # ---- the storm
        <storm@> = 2: then it began to rain . | the sky was dark and the wind was cold . | soon it began to snow .
        <fear@> = {she} was afraid and ran <spot> . | {she} heard a loud noise <spot> .
        <fear@> = " I am afraid ," said <who@> . | {she} ran as fast as {she} could .
        <hide@> = <friend> said , " come into my house ." | " come with me ," said <who@> .
        <hide@> = they ran home and sat by the fire . | they waited <spot> .
        <clear@> = soon the sun came out again . | then the rain was gone and the sun was warm .

        # ---- how stories end
        <joy@> = 2: <who@> was so <glad> . | {she} was <glad> and gave <friend> a big hug .
        <joy@> = <friend> smiled at {her} .
        <joy@> = " thank you ," said <who@> . | " you are a good friend ," said <who@> .
        <joy@> = <who@> said , " I love my <toy> ." | {she} laughed and hugged <friend> .
        <close@> = <name@> and <friend> were best friends . | they all went home and had some <treat> .
        <close@> = that night {she} slept very well . | that night {she} dreamed of {hers} <toy> .
        <close@> = it was a very good day . | from that day on they were good friends .

        # ---- stories
        <story@> = 3: <open@> <about@> <go@> <lost@> <sorry@> <ask@> <offer@> <help@> <found@> <joy@> <close@>
        <story@> = 2: <open@> <about@> <lost@> <sorry@> <offer@> <found@> <joy@> <close@>
        <story@> = 3: <open@> <about@> <go@> <meet@> <need@> <greet@> <share@> <eat@> <joy@> <close@>
        <story@> = 2: <open@> <go@> <meet@> <greet@> <eat@> <close@>
        <story@> = 2: <open@> <about@> <go@> <storm@> <fear@> <hide@> <clear@> <joy@> <close@>
        <story@> = <open@> <go@> <storm@> <lost@> <fear@> <hide@> <clear@> <found@> <joy@> <close@>
        <story> = 3: <story.f> | 3: <story.m> | 2: <story.n>

        # ---- what counts as a sentence
        <sentence@> = <open@> | <about@> | <go@> | <lost@> | <sorry@> | <ask@> | <offer@> | <help@> | <found@>
        <sentence@> = <meet@> | <need@> | <greet@> | <share@> | <eat@>
        <sentence@> = <storm@> | <fear@> | <hide@> | <clear@> | <joy@> | <close@>
        <sentence> = <sentence.f> | <sentence.m> | <sentence.n>
        """

    let private grammar = Grammar.parse variants source
    let private storyRule = Grammar.rule grammar "<story>"
    let private sentenceRule = Grammar.rule grammar "<sentence>"

    /// Words that the grammar itself writes with a capital.
    let private names =
        grammar.Rules
        |> Seq.collect (Seq.collect (fun a -> a.Symbols))
        |> Seq.choose (fun s ->
            match s with
            | Symbol.Word w when Char.IsUpper w[0] -> Some w
            | Symbol.Word _
            | Symbol.Rule _ -> None)
        |> HashSet

    /// The words that occur in stories, sorted (ordinal), names with their capitals.
    let vocabulary: string[] =
        grammar.Rules
        |> Seq.collect (Seq.collect (fun a -> a.Symbols))
        |> Seq.choose (fun s ->
            match s with
            | Symbol.Word w when Char.IsLetter w[0] -> Some w
            | Symbol.Word _
            | Symbol.Rule _ -> None)
        |> Seq.distinct
        |> Seq.sortWith (fun a b -> String.CompareOrdinal(a, b))
        |> Seq.toArray

    /// Story number `index` of a seed: one line of sentences. A pure function of both, the same on every machine.
    let story (seed: int64) (index: int) : string =
        let key = Counter.key seed Counter.stories (int64 index)
        let mutable drawn = 0
        let draw () =
            drawn <- drawn + 1
            Counter.bits key (drawn - 1)
        let pins = Grammar.pins grammar draw
        let hero = (Grammar.plan grammar storyRule draw)[0]
        Grammar.plan grammar hero draw
        |> Array.map (fun sentence -> Grammar.render (Grammar.expand grammar pins sentence draw))
        |> String.concat " "

    /// Whole stories of a seed, each in a paragraph of its own, until the text has at least `bytes` bytes (it is
    /// ASCII).
    let generate (bytes: int) (seed: int64) : string =
        let text = StringBuilder()
        let mutable index = 0
        while text.Length < bytes do
            text.Append(story seed index).Append("\n\n") |> ignore
            index <- index + 1
        text.ToString()

    /// True when the grammar can make the sentence, to the letter.
    let accepts (sentence: string) : bool =
        match Grammar.words names.Contains sentence with
        | Some words -> Grammar.recognise grammar sentenceRule words
        | None -> false

    /// True after a mark that ends a sentence: with its closing quotation mark, and not before a small letter
    /// (`"Why?" asked Tom.` goes on).
    let private endsAt (text: string) (i: int) =
        let isEnd (c: char) = c = '.' || c = '!' || c = '?'
        let close = isEnd text[i] || (text[i] = '"' && i > 0 && isEnd text[i - 1])
        let next = if i + 1 < text.Length then text[i + 1] else 'x'
        let afterSpace = if i + 2 < text.Length then text[i + 2] else ' '
        close && Char.IsWhiteSpace next && not (next = ' ' && Char.IsLower afterSpace)

    /// The complete sentences of a sample: what stands between two ends of sentences or lines. A first one that does
    /// not follow a line end may have lost its beginning and is dropped, and so is a last one that no white space
    /// follows.
    let sentences (text: string) : string[] =
        let found = List<string>()
        let mutable start = 0
        let mutable whole = false // whether the sentence at `start` has its beginning
        let close stop =
            let sentence = text.Substring(start, stop - start).Trim()
            if whole && sentence <> "" then found.Add sentence
            start <- stop
            whole <- true
        for i in 0 .. text.Length - 1 do
            if text[i] = '\n' then close i
            elif endsAt text i then close (i + 1)
        found.ToArray()
