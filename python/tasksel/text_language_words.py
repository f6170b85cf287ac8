"""The frequent words of languages, and the letters that few of them have."""

# ruff: noqa: RUF001 - letters of other scripts are what this table is of

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LETTERS", "WORDS"]

WORDS: Final[Mapping[str, str]] = {
    "en": "the of and to in is that it was for on are with as his they be at one have this from or "
    "had by not but what all were when we there can an your which their said if do will each "
    "about how up out them then she many some so these would other into has more her two like "
    "him see could no make than been who its now my did get may i you he me our us am just "
    "don't doesn't didn't isn't wasn't can't won't i'm it's very too also after because only "
    "where why before here every must please does should yes",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es "
    "an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen "
    "so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei ich wir ihr "
    "mich mir dich dir uns euch kein keine kann wenn weil schon sehr hier da doch immer "
    "wieder gut was wer wo warum bitte ja nein diese dieser dieses muss müssen können soll "
    "unter gegen ohne nichts etwas alle ihre seine",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il "
    "sont avec son elle mais comme on ou si leur nous vous je tu me te lui ils elles y ses "
    "mon ma mes ton ta tes cette ces aux été être avoir fait était j'ai c'est n'est d'un "
    "d'une qu'il qu'elle n'a s'est l'on très bien tout tous même aussi sans entre après avant "
    "où quand pourquoi comment rien peut doit cet notre votre vos nos encore déjà ici là oui "
    "non deux moins avez avons ont",
    "es": "de la que el en y a los se del las un por con no una su para es al lo como más o pero "
    "sus le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había "
    "era muy años hasta desde está mi porque qué sólo han yo hay vez puede todos así nos ni "
    "parte tiene él uno donde bien tiempo mismo ese ahora cada e vida otro después te otros "
    "aunque esa eso hace otra gobierno tan durante siempre día tanto ella tres sí sido esto "
    "ellos estaba estos quien nada cómo cual debe usted",
    "pt": "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao "
    "ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso "
    "ela entre era depois sem mesmo aos ter seus quem nas me esse eles estão você tinha foram "
    "essa num nem suas meu às minha têm numa pelos elas havia seja qual será nós tenho lhe "
    "deles essas esses pelas este fosse dele tu te vocês vos isto aquilo são pode deve ainda "
    "onde porque então aqui sim",
    "it": "di e il la che in un a per è una sono non si con del da le dei al come lo della i ha più "
    "nel gli ma alla se anche mi delle ed ci o su dal questo nella io ho l'ha era essere c'è "
    "dell degli tutto sua suo loro quando molto fatto perché cosa così solo dopo senza hanno "
    "stato stata questa quello quella chi dove poi ancora già qui sempre bene tutti nei alle "
    "dalla sulla può deve ogni mio mia tuo noi voi lui lei ne però nessuno niente un'altra "
    "all'interno dell'anno siamo sei sì",
    "nl": "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij nog "
    "uit door naar heeft hij ze ik je we wij jij u was wordt worden werd kan zou deze dit die "
    "over meer geen had tot hun of wat zo veel na heel al mijn haar hem ons onze jullie moet "
    "kunnen hebben gaan wel daar hier waar waarom omdat toen nu alleen altijd iets niets "
    "tegen onder andere goed alle",
    "sv": "och i att det som en på är av för med till den har de inte om ett han men var jag sig "
    "från vi så kan när år under också efter eller nu sin där vid mot ska skulle kommer ut "
    "får finns vara hade alla andra mycket än här då sedan över bara blir upp även vad hur "
    "dig mig oss dem denna detta inget ingen varför alltid måste utan mellan hon min din",
    "da": "og i at det er en til af på som for med den har de ikke et han men var jeg sig fra vi så "
    "kan når år under også efter eller nu sin der ved mod skal ville kommer ud får være havde "
    "alle andre meget end her da siden over kun bliver op hvad hvordan dig mig os dem denne "
    "dette intet ingen hvorfor altid uden mellem hun min din blev noget nogle",
    "no": "og i å det er en til av på som for med den har de ikke et han men var jeg seg fra vi så "
    "kan når år under også etter eller nå sin der ved mot skal ville kommer ut får være hadde "
    "alle andre mye enn her da siden over bare blir opp hva hvordan deg meg oss dem denne "
    "dette ingen hvorfor alltid uten mellom hun min din ble noe noen ikkje eg ein eit frå",
    "fi": "ja on ei se että en hän oli mutta ovat kun mitä tai niin kuin jos olen ole myös sen "
    "hänen nyt vain kaikki mukaan jo sekä joka minä sinä me te he tämä tässä siitä siinä olla "
    "ollut voi voit pitää mikä miksi miten missä koska vielä hyvin paljon ennen jälkeen "
    "kanssa ilman yli alle joita jotka tämän sitä minun sinun olisi eivät emme ette",
    "pl": "i w na z do nie się to że jest o jak za po od przez dla co przy który która które ale są "
    "tym był była było być tego jego jej ich tylko już może oraz lub ze gdy czy nad pod bez "
    "tak jeszcze bardzo kiedy gdzie dlaczego mnie mi ja ty on ona my wy oni ten ta te tej "
    "jako więc tu tam teraz wszystko można ma mam miał nic aby żeby swój sobie",
    "cs": "a se v na je že s z do o to i k ve pro za by si jsem jako ale po jeho tak jen od který "
    "která které jsou bylo byl byla být už při nebo jak když až před aby ještě také co není "
    "má mezi kde proč tom této toho ten ta ty my vy oni on ona mě mi mu její jejich bez nad "
    "pod velmi dnes tady než podle všechny může lze musí nic něco",
    "sk": "a sa v na je že s z do o to i k vo pre za by si som ako ale po jeho tak len od ktorý "
    "ktorá ktoré sú bolo bol bola byť už pri alebo keď až pred aby ešte tiež čo nie má medzi "
    "kde prečo tom tejto toho ten tá my vy oni on ona mňa mi mu jej ich bez nad pod veľmi "
    "dnes tu než podľa všetky môže musí nič niečo",
    "hr": "i u je se na da za su od s ne što to kao o iz koji koja koje ali bi ili ako do sam nije "
    "sve samo biti bio bila bilo jer kad kada gdje zašto kako više još već prema između nakon "
    "prije ovaj ova ovo taj ta te on ona ono mi vi oni me ga mu njegov njezin vrlo može mora "
    "nego bez pod nad svi ništa nešto ću će ćete smo ste šta gde posle",
    "sl": "in je v na se da za so z ki pa ne s kot ali tudi po bi ni to od pri kako ko sem si če še "
    "že bil bila bilo biti zelo lahko samo le kaj kje zakaj kdaj med pred brez nad pod vse ta "
    "ti te on ona mi vi oni me mu njegov njen več iz do ker jih",
    "ro": "de și în a la cu pe o un nu că este care din mai pentru se să ce au fi sunt al lui sau "
    "dar fost ca prin era după are când cum foarte am ei el ea noi voi eu tu îi își lor acest "
    "această acesta doar fără între unde unei unui până tot toate dacă cele cei despre asupra "
    "poate trebuie aici acum nimic ceva mă te îl le mi ți",
    "hu": "a az és hogy nem is egy van volt ez de meg csak ha már el mint azt vagy még ki kell le "
    "lesz lehet mert nagyon ezt én te ő mi ti ők minden után előtt alatt mellett között nincs "
    "vannak voltak amely ami aki ahol miért mikor hol most itt ott úgy így sem be fel össze "
    "való szerint által pedig illetve",
    "tr": "ve bir bu da de için ile çok daha ne gibi var ama o olarak kadar en sonra olan mi değil "
    "ben sen biz siz onlar her şey ki ise diye ya veya yok bana sana ona bunu şu nasıl neden "
    "zaman önce iki olduğu oldu olduğunu göre iyi hiç çünkü tüm bütün hem ancak üzerinde "
    "tarafından ediyor eden lütfen",
    "id": "yang dan di dari untuk dengan pada ini itu tidak ke dalam adalah akan oleh juga saya "
    "anda dia mereka kami kita ada atau sebagai bisa sudah telah lebih karena tetapi seperti "
    "dapat hanya saat harus menjadi antara setelah sebelum sangat bagaimana mengapa apa siapa "
    "tersebut namun hingga para orang jika bila belum lagi semua banyak silakan tanpa "
    "sehingga",
    "vi": "và của là có không được cho một các trong người với để này khi đã những như từ đến cũng "
    "về ra tôi bạn anh chị nó chúng họ thì mà nhưng vì nếu hoặc rất nhiều nhất sẽ phải cần "
    "thể lại còn đó đây sao nào gì theo vào trên dưới sau trước năm ngày hơn chỉ đang hãy vui "
    "lòng tại do bị",
    "ca": "de la i el que a en per els les un una amb no és del al es com més o pels dels però són "
    "va ser ha seva seu aquest aquesta això molt també quan on perquè entre fins sense sobre "
    "tot tots sempre han hi li ens us jo tu ell ella nosaltres vosaltres ells mateix ja només "
    "hem està pot cal l'any d'un d'una després abans res aquí",
    "et": "ja on ei et see oli ta kui ka oma mis aga ning või nii selle mida ma sa me te nad pole "
    "olen oled olid siis veel väga kes kus miks kuidas juba ainult kõik palju enne pärast "
    "koos ilma üle all vahel tema minu sinu seda selles sest saab peab võib mitte nagu",
    "lt": "ir yra į kad su iš tai ne kaip bet o ar buvo apie už po nuo iki jis ji jie aš tu mes jūs "
    "savo tik dar labai jau kas kur kodėl kada čia ten šis ši tas ta tie visi viskas gali "
    "turi būti prie per be jo jos jų man mane mano kuris kuri kurie dėl arba nėra",
    "lv": "un ir uz ar no ka par kas bet tas tā kā vai nav bija pēc līdz viņš viņa viņi es tu mēs "
    "jūs savu tikai vēl ļoti jau kur kāpēc kad šeit tur šis šī visi viss var būt pie bez "
    "pirms starp to tiek tika arī jo ja lai kurš kura man mani mans",
    "ru": "и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой от "
    "со для о же ты все год человек так его её их как было был была были бы когда где почему "
    "только уже если нет есть очень мне меня вы вас нам нас или до при без под над после "
    "перед между можно нужно ещё еще чтобы этого тем том себя ничего что-то более пожалуйста",
    "uk": "і в не на я бути він з що а по це вона цей до але вони ми весь який із у та за свій від "
    "для про ж ти всі рік так його її їх як було був була були би коли де чому тільки вже "
    "якщо ні є дуже мені мене ви вас нам нас або при без під над після перед між можна "
    "потрібно ще щоб цього тим тому себе нічого щось більше й чи має будь ласка",
    "bg": "и в не на аз да е се с от за че по това той тя този тази но те ние който която което са "
    "със към или как беше бил била били когато къде защо само вече ако няма има много ми ме "
    "ви вас ни нас до при без под над след преди между може трябва още така него нея тях "
    "какво нищо нещо повече моля ще си",
    "sr": "и у је се на да за су од с не што то као о из који која које али би или ако до сам није "
    "све само бити био била било јер кад када где зашто како више још већ према између након "
    "пре овај ова ово тај та те он она оно ми ви они ме га му његов веома може мора него без "
    "под над сви ништа нешто ћу ће",
    "ar": "في من على إلى أن هذا هذه التي الذي لا ما هو هي كان كانت عن مع كل أو لم لن قد بعد قبل بين "
    "غير عند حتى إذا ثم أي إن لكن ليس حيث أنا أنت نحن هم كما منذ ذلك تلك لقد جدا يتم يجب يمكن "
    "أكثر هناك هنا لماذا كيف متى أين له لها به بها فيه فيها عليه و يا",
    "fa": "و در به از که این را با است آن برای یک می تا بر هم نیز شد شده بود خود باید اما یا ما من "
    "تو او شما آنها کرد کرده کند دارد دارند ها های هر اگر چه چرا چگونه کجا کی پس همه بسیار "
    "بیشتر دیگر هیچ نیست باشد شود می‌شود می‌کند بین پیش بعد وی لطفا",
    "ur": "کے میں کی ہے سے اور کو کا نے پر ہیں یہ کہ بھی وہ ہو اس ایک تھا تھی تھے نہیں کر تو ہی گیا "
    "گئی جو ان ہم آپ میرا میری اپنے اپنی کیا کیوں کیسے کہاں کب لیے ساتھ بعد پہلے بہت کچھ سب "
    "اگر مگر لیکن ہوا ہوئی رہا رہے دیا کرنے کریں",
    "hi": "के में की है से और को का ने पर हैं यह कि भी वह हो इस एक था थी थे नहीं कर तो ही गया गई जो "
    "उन हम आप मेरा मेरी अपने अपनी क्या क्यों कैसे कहाँ कब लिए साथ बाद पहले बहुत कुछ सब अगर "
    "लेकिन हुआ हुई रहा रहे दिया करने करें मैं तक या हुए जा",
    "mr": "आहे आणि या च्या हे ते की नाही मध्ये होते होता होती ने ला साठी एक तर पण काय का कसे कुठे "
    "आहेत त्या त्याच्या मी तू आम्ही तुम्ही तो ती केले करून झाले असे आपल्या खूप सर्व नंतर "
    "पूर्वी वर कडून म्हणून मला हा ही येथे किंवा",
    "ne": "छ र को मा यो त्यो छन् हो पनि ले लाई भने गर्न भएको गरेको थियो थिए तर कि के किन कसरी कहाँ "
    "म तिमी हामी तपाईं उनी एक धेरै सबै पछि अघि बाट सँग लागि गर्ने हुने छैन भए हुन्छ गर्छ मेरो "
    "यस त्यस वा",
}
"""Words in lower case by ISO 639-1 code; `hr` stands for Croatian, Bosnian and Serbian in Latin letters."""

LETTERS: Final[Mapping[str, str]] = {
    "de": "ßäöü",
    "fr": "éèêëàâçîïôûùœ",
    "es": "ñ¿¡áéíóú",
    "pt": "ãõâêçáéíóúà",
    "it": "àèéìòù",
    "sv": "åäö",
    "da": "åæø",
    "no": "åæø",
    "fi": "äö",
    "pl": "ąćęłńóśźż",
    "cs": "ěščřžýáíéůúťďň",
    "sk": "ľščťžýáíéôäĺŕďňú",
    "hr": "čćđšž",
    "sl": "čšž",
    "ro": "ăâîșțşţ",
    "hu": "őűáéíóúöü",
    "tr": "ğışçöü",
    "vi": "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
    "ca": "çàèéíïòóúü·",
    "et": "õäöü",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
    "ru": "ыэъё",
    "uk": "іїєґ",
    "bg": "ъщ",
    "sr": "ђјљњћџ",
    "ar": "ةىأإ",
    "fa": "پچژگکی",
    "ur": "ٹڈڑںےہھپچگکی",
    "mr": "ळ",
}
