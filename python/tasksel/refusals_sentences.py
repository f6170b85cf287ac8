"""How a refusal begins, in seventeen languages, as verbose regular expressions without regard to case.

Each has an apology followed by an inability, or an inability followed by what is not done; either alone also
begins answers ("I can't believe it, she said").
"""
# ruff: noqa: E501, RUF001 - each language in its own letters

from __future__ import annotations

from typing import Final

__all__ = ["REFUSAL_SENTENCES"]

REFUSAL_SENTENCES: Final = {
    "en": r"""
        (?:(?:oh,?\ )?(?:(?:i'm|i\ am)\ (?:(?:really|very|so|truly|deeply|afraid)\ )?(?:sorry|afraid)|sorry
        |(?:my\ )?apologies|i\ (?:do\ )?apologi[sz]e|unfortunately|regrettably|thank\ you\ for\ asking)
        (?:\ (?:for\ (?:the|any)\ [\w ]{1,30}|about\ that|if\ [\w ]{1,30}))?[,.!;:]*\ ?)?
        (?:(?:but|however|and)[,]?\ )?
        (?:(?:as|being)\ an?\ (?:ai|artificial\ intelligence|(?:large\ )?language\ model|assistant|chatbot)
        [^,.!?\n]{0,60},?\ )?(?:(?:but|unfortunately|regrettably|sorry),?\ )*
        (?:(?:i\ (?:simply\ |really\ |just\ |also\ )?
        (?:can't|cannot|can\ not|won't|will\ not|would\ not|am\ unable\ to|am\ not\ able\ to|am\ not\ comfortable
        |am\ not\ going\ to|am\ not\ allowed\ to|am\ not\ programmed\ to|am\ not\ capable\ of
        |do\ not\ have\ the\ (?:ability|capability|capacity)\ to|don't\ have\ the\ (?:ability|capacity)\ to
        |decline\ to|refuse\ to)
        |i'm\ (?:unable\ to|not\ able\ to|not\ comfortable|not\ going\ to|not\ allowed\ to|not\ programmed\ to
        |not\ capable\ of))
        \ (?:[\w']+\ ){0,3}?
        (?:help(?!\ (?:but|it\b|myself|the\ way|feeling|thinking|wondering))|assist|provid|compl(?:y|ete\ (?:that|this|your)|ying)|fulfil|answer|creat|generat|writ|discuss
        |engag|do\ (?:that|this|so)|support|continue\ (?:with\ )?(?:this|that)|offer|giv(?:e|ing)\ (?:you|advice)
        |shar(?:e|ing)|respond|participat|translat(?:e|ing)\ (?:that|this)|process(?:ing)?\ (?:that|this|your)
        |access|browse|produc|promot|accommodate|recommend|facilitat|have\ (?:personal|opinions)
        |express\ (?:personal|opinions)|see\ (?:the|any|your)\ (?:image|picture|file|attach))
        |i\ (?:must|have\ to)\ (?:respectfully\ )?(?:decline|refuse)\b|i\ respectfully\ decline\b)
        |(?:i'm|i\ am)\ (?:(?:very|so)\ )?sorry,?\ (?:but\ )?(?:that(?:'s|\ is)|this\ is)\ (?:not\ )?something\ i
        |(?:that(?:'s|\ is)|this\ is)\ not\ something\ (?:that\ )?i(?:'m|\ am|\ can|\ could|\ will)\b
        |as\ an\ ai[^.!?\n]{0,60}\bi\ (?:don't|do\ not|can't|cannot|am\ not|am\ unable)\b""",
    "de": r"""
        (?:(?:es\ )?tut\ mir\ (?:sehr\ )?leid|entschuldigung|leider|ich\ bedauere|verzeihung|als\ ki)
        [^!?\n]{0,80}?\b(?:kann|darf|möchte|werde|bin)\b[^!?\n]{0,80}?\b(?:nicht|kein\w*)\b
        |ich\ (?:kann|darf|werde)\ [^.!?\n]{0,60}?\b(?:nicht|keine\w*)\ (?:[\w]+\ ){0,3}?(?:helfen|weiterhelfen
        |beantworten|erfüllen|unterstützen|bereitstellen|erstellen|nachkommen|anbieten)\b""",
    "fr": r"""
        (?:(?:je\ suis\ (?:vraiment\ |sincèrement\ )?)?désolée?|malheureusement|je\ regrette|navrée?
        |je\ m'excuse|en\ tant\ qu(?:'ia|'intelligence|e\ modèle))[^!?\n]{0,60}?
        (?:je\ ne\ (?:peux|puis|suis)\ pas|il\ m'est\ impossible|je\ ne\ saurais)\b
        |je\ ne\ (?:peux\ pas|puis|suis\ pas\ en\ mesure\ (?:de|d'))\ ?(?:[\w']+\ ){0,2}?
        (?:vous\ aider|t'aider|répondre|fournir|satisfaire|accéder\ à\ (?:cette|votre)|créer|générer)""",
    "es": r"""
        (?:lo\ siento|lamento|lamentablemente|disculpa|disculpe|perdón|desafortunadamente|como\ (?:modelo|ia\b))
        [^!?\n]{0,60}?\bno\ (?:puedo|me\ es\ posible|estoy\ en\ condiciones|soy\ capaz|estoy\ capacitad)
        |no\ puedo\ (?:[\w]+\ ){0,2}?(?:ayudar|proporcionar|cumplir|responder|generar|ofrecer|facilitar)""",
    "it": r"""
        (?:mi\ dispiace|spiacente|purtroppo|scusa|mi\ scuso|come\ (?:modello|ia\b))[^!?\n]{0,60}?
        \bnon\ (?:posso|sono\ in\ grado|mi\ è\ possibile|sono\ autorizzat)
        |non\ posso\ (?:[\w]+\ ){0,2}?(?:aiutar|assister|fornir|rispondere|generare|soddisfare)""",
    "pt": r"""
        (?:(?:me\ )?desculpe|sinto\ muito|lamento|infelizmente|peço\ desculpas?|como\ (?:modelo|uma?\ ia\b))
        [^!?\n]{0,60}?\bnão\ (?:posso|consigo|sou\ capaz|estou\ (?:apto|autorizad)|me\ é\ possível)
        |não\ posso\ (?:[\w-]+\ ){0,2}?(?:ajud|auxiliar|fornecer|responder|gerar|atender|oferecer)""",
    "nl": r"""
        (?:het\ spijt\ me|sorry|helaas|excuses|mijn\ excuses)[^!?\n]{0,60}?
        \b(?:kan|mag|ben)\b[^!?\n]{0,60}?\b(?:niet|geen)\b
        |ik\ kan\ [^.!?\n]{0,40}?\b(?:niet|geen)\ (?:\w+\ ){0,3}?(?:helpen|beantwoorden|verstrekken|voldoen)""",
    "pl": r"""
        (?:przepraszam|przykro\ mi|niestety)[^!?\n]{0,60}?\bnie\ (?:mogę|jestem\ w\ stanie|potrafię)
        |nie\ (?:mogę|jestem\ w\ stanie)\ (?:\w+\ ){0,2}?(?:pomóc|odpowiedzieć|udzielić|dostarczyć|spełnić)""",
    "ru": r"""
        (?:извините|простите|к\ сожалению|мне\ (?:очень\ )?жаль|сожалею|прошу\ прощения)[^!?\n]{0,60}?
        \bне\ (?:могу|смогу|в\ состоянии|имею\ возможности)
        |я\ не\ (?:могу|смогу)\ (?:\w+\ ){0,3}?(?:помочь|помогать|ответить|предоставить|выполнить|обсуждать)""",
    "tr": r"""
        (?:üzgünüm|maalesef|özür\ dilerim|kusura\ bakmayın)[^!?\n]{0,80}?
        (?:yardımcı\ olamam|yardımcı\ olamıyorum|yardım\ edemem|sağlayamam|yapamam|veremem|yanıtlayamam
        |oluşturamam|yerine\ getiremem)""",
    "vi": r"""(?:tôi\ )?(?:rất\ )?(?:xin\ lỗi|rất\ tiếc)[^!?\n]{0,60}?\bkhông\ thể\b""",
    "id": r"""(?:mohon\ )?maaf[^!?\n]{0,60}?\btidak\ (?:bisa|dapat|mampu)\b""",
    "zh": r"""
        (?:很|非常|十分)?(?:抱歉|对不起|對不起|遗憾|遺憾|不好意思)[^!?！？\n]{0,40}?
        (?:无法|無法|不能|没法|沒法|不便|不可以|没有办法)
        |(?:作为|作為)(?:一个|一個|一名)?(?:ai|人工智能|人工智慧|语言模型|大语言模型)[^!?！？\n]{0,40}?(?:无法|無法|不能|没有|沒有)
        |我(?:无法|無法|不能)(?:为您|為您|为你|向您|就此)?(?:提供|帮|幫|回答|协助|協助|满足|滿足|讨论|討論)""",
    "ja": r"""
        (?:大変)?(?:申し訳(?:ありません|ございません|ないのですが|ないですが)|すみません|ごめんなさい|恐れ入りますが|残念ながら)
        [^!?！？\n]{0,80}?(?:できません|出来ません|できかねます|いたしかねます|かねます|応じられません)
        |[^。!?！？\n]{0,40}?(?:お手伝い|お答え|回答|提供|対応)(?:する(?:こと)?)?(?:は|が)?(?:できません|できかねます|いたしかねます)""",
    "ko": r"""(?:죄송|미안|유감)[^!?\n]{0,80}?(?:수\ ?(?:는\ |가\ )?없|어렵습니다|드리지\ 못|못합니다|않습니다)""",
    "ar": r"""(?:عذر[ًا]*|آسف|أنا\ آسف|أعتذر|للأسف|معذرة)[^!?\n]{0,60}?(?:لا\ (?:أستطيع|استطيع|يمكنني)|لن\ (?:أتمكن|أستطيع)|غير\ قادر)""",
    "hi": r"""(?:मुझे\ (?:खेद|माफ़|माफ|क्षमा)|क्षमा\ करें|माफ़\ कीजिए|माफ\ कीजिए)[^!?\n]{0,100}?नहीं\ (?:\w+\ )?(?:सकता|सकती|सकते)""",
}
