"""Function words by language: left out of BM25, and what a text's language is told by.

Each list holds articles, pronouns, prepositions, conjunctions, auxiliaries and the like, in lower case and with their
accents. The lists are short on purpose: a content word that is dropped cannot be found any more.
"""
# ruff: noqa: RUF001  (Cyrillic letters are meant)

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ENGLISH: Final = """
a about above after again against all also am among an and any are as at be because been before being below between
both but by can could did do does doing down during each either few for from further had has have having he her here
hers herself him himself his how however i if in into is it its itself just may me might more most must my myself
neither no nor not now of off on once only onto or other our ours out over own same shall she should since so some
such than that the their theirs them themselves then there therefore these they this those through thus to too
toward towards under until up upon very via was we were what when where whether which while who whom whose why will
with within without would yet you your yours
"""
_GERMAN: Final = """
aber alle allem allen aller alles als also am an andere anderen anderer anderes auch auf aus bei beim bin bis bist
da dabei dadurch dafür damit danach dann daran darauf daraus darf darin das dass dein deine dem den denn der deren
des dessen deshalb dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer
eines er es etwa etwas euch euer für gegen gibt hab habe haben hat hatte hatten hier hinter ich ihm ihn ihnen ihr
ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedes jedoch jene jener kann kein keine keinem
keinen keiner können könnte man mein meine mich mir mit muss müssen nach nicht nichts noch nun nur ob oder ohne sehr
sein seine seinem seinen seiner seit sich sie sind so soll sollen sollte sowie über um und uns unser unsere unter
vom von vor wann war waren warum was wegen weil welche welchem welchen welcher welches wenn wer werde werden wie
wieder wird wir wo wurde wurden zu zum zur zwischen
"""
_FRENCH: Final = """
à afin ai ainsi alors après as au aucun aucune aussi autre autres aux avait avant avec avez avoir avons car ce ceci
cela celle celles celui ces cet cette ceux chaque chez comme comment d dans de depuis des donc dont du elle elles en
encore entre es est et étaient était été être eu eux fait il ils j je jusque l la laquelle le lequel les lesquels
leur leurs lors lorsque lui m ma mais me même mêmes mes moi mon n ne ni nos notre nous on ont ou où par parce pas
pendant peu peut peuvent plus pour pourquoi puis qu quand que quel quelle quelles quels qui quoi s sa sans se selon
sera seront ses si son sont sous sur ta te tes toi ton tous tout toute toutes très tu un une vers vos votre vous y
"""
_SPANISH: Final = """
a al algo algunas alguno algunos ante antes aquel aquella así aún aunque bajo bien cada casi como cómo con contra
cual cuál cuales cualquier cuando cuándo cuanto cuánto de del desde donde dónde dos durante e el él ella ellas ellos
en entre era eran es esa esas ese eso esos esta está están estar estas este esto estos fue fueron ha hace hacia han
hasta hay la las le les lo los más me mi mientras mis mucho muy nada ni no nos nosotros o os otra otras otro otros
para pero poco por porque puede pueden pues que qué quien quién quienes se sea según ser si sí sido siempre sin sino
sobre son su sus también tan tanto te tiene tienen toda todas todo todos tras tu tus un una unas uno unos usted y ya
yo
"""
_ITALIAN: Final = """
a ad agli ai al alcuni alcune alla alle allo anche ancora avere c che chi ci cioè come con contro cui d da dagli dai
dal dalla dalle dallo degli dei del dell della delle dello dentro di dopo dove e è ed era erano essere fa fino fra
gli ha hanno ho i il in io l la le lei li lo loro lui ma me mentre mi mia mio molto ne negli nei nel nella nelle
nello no noi non nostra nostro o ogni oppure per perché perciò però più poi prima può qual quale quali quando quanto
quella quelle quelli quello questa queste questi questo qui se sei senza si sia siamo sono sopra sotto stata stato
sua sue sugli sui sul sulla sulle suo suoi te tra tu tua tuo tutte tutti tutto un una uno vi voi
"""
_PORTUGUESE: Final = """
a à ainda algum alguma ante antes ao aos após aquela aquele aquilo as às assim até cada com como contra da das de
dela dele deles depois desde dessa desse desta deste do dos durante e é ela elas ele eles em enquanto entre era eram
essa essas esse esses esta está estão estas este estes eu foi foram há isso isto já lhe lhes lo mais mas me mesmo
meu minha muito na não nas nem nenhum no nos nós nossa nosso num numa o onde os ou outra outras outro outros para
pela pelas pelo pelos pode podem pois por porque qual quais qualquer quando que quê quem são se seja sem sempre ser
será seu seus si sido sob sobre sua suas também te tem têm ter toda todas todo todos tu tua um uma umas uns você
vocês
"""
_DUTCH: Final = """
aan al alle alleen als altijd andere ben bij binnen daar dan dat de deze die dit doch doen door dus een eens elk
elke en er ge geen had hadden hebben heeft heb hem het hier hij hoe hun iemand iets ik in is ja je jij kan kon
kunnen maar me meer men met mij mijn moet moeten na naar niet niets nog nu of om omdat onder ons ook op over reeds
te tegen toch toen tot tussen u uit uw van veel voor waar waarom wanneer want waren was wat we wel welke werd werden
wie wij wil worden wordt zal ze zelf zich zij zijn zo zonder zou
"""
_SWEDISH: Final = """
alla allt att av bara bli blir blev båda den denna deras dess dessa det detta dig din dina ditt du där därför då
efter eller en er ett från för genom ha hade han hans har hela henne hennes hon honom hur här i icke in inga ingen
inget innan inte jag ju kan kunde man med mellan men mig min mina mitt mot mycket ni nu när någon något några och om
oss på samma sedan sig sin sina sitt ska skulle som så sådan till under upp ut utan vad var vara varför varit varje
vars vem vi vid vilka vilken vilket vår våra än är åt över
"""
_DANISH: Final = """
af alle alt anden andet at begge bare blev blive bliver da de dem den denne der deres det dette dig din disse dog du
efter eller en end er et for fordi fra få får før gennem ham han hans har havde have hende hendes her hos hun hvad
hver hvilken hvis hvor hvordan hvorfor hvornår i igen ikke ind ingen jeg jer jo kan kun kunne man mange med meget
mellem men mens mig min mod må ned nogen noget nogle nu når og også om op os over på selv sig sin skal skulle som
sådan til ud uden under var ved vi vil ville være været
"""
_NORWEGIAN: Final = """
alle alt andre at av bare ble bli blir da de deg den denne der dere deres det dette din disse du eller en enn er et
etter for fordi fra før gjennom ha hadde han hans har henne hennes her hos hun hva hver hvem hvilken hvis hvor
hvordan hvorfor i igjen ikke ingen inn ja jeg kan kun kunne man mange med meg mellom men mens mer min mitt mot må
noe noen nå når og også om opp oss over på seg selv sin skal skulle som slik til ut uten under var ved vi vil ville
være vært
"""
_FINNISH: Final = """
ei eivät en että he hän häntä ja jo joka jonka jos jossa jota jotka jotta kaikki kanssa kuin kuinka kuitenkin kun
kuten me mikä miksi milloin minkä minun minä missä mitä mukaan mutta myös ne niin niitä nyt nämä ole olen oli olivat
olla on ovat se sekä sen siellä sille sillä sinä siinä sitten sitä tai te tämä tämän tätä tässä vaan vai vain vielä
voi voidaan voivat
"""
_RUSSIAN: Final = """
а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее если есть
еще же за и из или им их к как какая какие какой когда которая которого которой которые который которых кто ли лишь
между меня мне может мой мы на над надо нам нас не него нее нет ни них но ну о об однако он она они оно от очень
перед по под после при про с сам свои своих со так также такие такой там те тем то того тоже той только том ты у уже
хотя чего чей чем что чтобы эта эти этих это этого этой этом этот я
"""

# Language codes are ISO 639-1; Danish, Norwegian and Swedish share most of theirs and are told apart by the rest.
FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in (
        ("en", _ENGLISH),
        ("de", _GERMAN),
        ("fr", _FRENCH),
        ("es", _SPANISH),
        ("it", _ITALIAN),
        ("pt", _PORTUGUESE),
        ("nl", _DUTCH),
        ("sv", _SWEDISH),
        ("da", _DANISH),
        ("no", _NORWEGIAN),
        ("fi", _FINNISH),
        ("ru", _RUSSIAN),
    )
}
