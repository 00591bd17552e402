"""Words that may stand for each other in a question about software and in the text that answers it.

Written by hand for aqe from general English and the vocabulary of programming, subject by subject, not from any text
or question that answers are measured on. Words in a line are synonyms, near ones, or a general word with its kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from aqe.engine.memory.text import query_terms

_GROUPS = """
abort cancel stop terminate kill interrupt
accelerate faster speed quick performance
access reach open permission
account user profile login member
accurate accuracy precise precision exact tolerance
add append insert put enqueue push include attach
address url uri link location endpoint path
adjust tune change configure modify customise customize edit tweak override
administrator admin root superuser operator
alert alarm warning notification notify message notice warn
alias synonym nickname shortcut
allow permit enable accept let authorise authorize
amount quantity number count total volume sum
answer reply respond response result
application app program software tool
approve confirm acknowledge accept ack
argument parameter option flag switch
array list sequence vector collection
article product item good page post entry
ask request query demand
assign allocate reserve give hold claim
attempt try retry tries again repeat
authenticate authentication login password credential token sign
author writer creator maintainer owner
automatic automatically itself unattended
available offer exist provide free
average mean median
background asynchronous async daemon later
backup copy snapshot archive save export
bad wrong invalid broken malformed corrupt illegal incorrect faulty
ban block forbid refuse reject deny prohibit disallow
basket cart trolley order
begin start launch boot initial first run
bill invoice charge receipt payment
bind listen port serve
blank empty missing whitespace
boundary limit edge border bound
branch fork version
bring fetch get retrieve load return
browser visitor reader client
bug defect fault error issue problem
build compile make generate produce create
bundle package group combine together
buy purchase order pay checkout
bytes size large big megabyte kilobyte length mb kb gb
cache store keep remember memory temporary
calculate compute determine derive
call invoke execute run
capacity limit maximum most size room largest
capital uppercase case upper
categorise category group classify tag label topic subject
cease end stop finish
cent money price amount currency euro dollar
change modify update alter edit replace mutate
character letter char symbol
cheap discount reduced reduction lower rebate
check verify validate test examine inspect ensure assert
choose select pick decide
clean clear delete remove purge wipe reset prune tidy
client customer buyer user caller
clock time hour timer
close shut end finish release
cloud remote server hosted
code source program script
colour color
column field attribute property key
combine merge join concatenate unite
command cli terminal shell type
comment note remark
compatible support work
complete finish done whole full
component part module piece
compress zip shrink smaller pack gzip
concurrent parallel simultaneously simultaneous thread worker core job together
configuration setting settings config option preference toml ini
connect attach link wire plug
connection link socket network
consume take read use eat
contact reach mail email
contain hold include have
convert transform turn translate parse change
correct right valid fix repair
cost price fee charge amount cent
country nation abroad foreign international
crash fail die failure broken down kill exception
create make build new generate add produce
credential password key secret token
customer buyer client user shopper
daily day every
damage break corrupt harm destroy
data record value information
date day time calendar when
deadline timeout expire due limit
debug diagnose trace log
declare define specify state
decrease reduce lower less shrink
default standard otherwise usual without
delay wait pause later postpone sleep back off backoff interval
delete remove drop erase discard purge gone forget prune destroy
deliver send ship dispatch transport deliver
demand need require
dependency dependencies package library require
deploy deployment publish release upload rollout production
describe explain document description
destination target to
detect notice recognise find discover
determine decide compute
developer programmer contributor maintainer
device machine hardware computer sensor
dictionary map mapping dict table
different differ other another
digit number figure
directory folder path
disable off switch deactivate turn without
discard drop throw away delete reject ignore
disk drive storage file
display show print view render
divide split share distribute part
documentation docs manual guide readme
double twice duplicate two
download fetch get pull
draw render paint
due owed pending ready
duplicate twice same repeat again double copy identical
duration long time seconds minutes hours period
early before first soon
earlier previous before old past
edit change modify
element item entry member
eliminate remove avoid
email mail message
empty blank nothing none zero
encode encoding utf charset
encrypt cipher secure
end finish stop last terminate exit
enforce require ensure
engineer developer programmer
enough sufficient
ensure guarantee make sure
entry item record row line
environment variable env
equal same identical match
erase delete remove wipe
error exception failure fail fault raise problem wrong
estimate guess approximate about
event occurrence incident signal
example sample demo
exceed above over more beyond
exchange swap replace
exclude omit skip leave ignore out without
execute run perform launch invoke
exhaust run out full empty deplete
existing present already
exit quit leave status end
expire expiry expiration lapse timeout valid lifetime old end
export dump write save
extend extension plugin driver add
external foreign outside third
fail failure error crash broken unsuccessful exception
fallback otherwise instead default
fast quick speed rapid performance
fee cost price charge
feedback comment opinion
field key column attribute
file document
fill populate complete
filter select restrict
final last end
find search look locate discover
finish complete end done
fix repair correct patch solve
flag option switch
folder directory path
forbid prohibit refuse disallow never deny reject
force compel override must
foreign external other another abroad
forget lose drop
format layout form syntax notation shape
forward pass send relay
fraction share part portion half quarter percent
free available release gratis
frequency often every interval rate per
frequently often every interval rate
full complete whole entire
function method def call procedure routine
garbage junk invalid
generate create make produce build
goods stock article product item
grant give allow
group batch bundle
grow increase more
handle process deal treat
hardware device machine computer
hash digest checksum
header head field
headline title heading
help support assist
hide conceal mask hidden invisible
highlight colour color mark
history past previous log earlier record
hold keep lock
holiday vacation away weekend
homepage website site
host server machine
hour time clock
humidity moisture wet moist
identical same equal
identifier id name key
idle inactive unused nothing
illegal invalid wrong forbidden
image picture photo photograph
immediate immediately instant now once
import load read
impossible invalid cannot never
improve better faster optimise optimize
increase grow raise more
index search catalogue
inform tell notify report
inherit derive extend
initial first start
inspect look view examine show see
install setup installation pip
instance object
instant moment time
instead otherwise replace
integer number whole
interface api
internet network online web
interrupt signal stop cancel break
interval every period often delay between
inventory stock warehouse supply
invoice bill
issue problem bug error
item article entry element product
iterate loop each
job task work
join merge combine
keep retain store hold preserve stay save
key name identifier
kill terminate signal stop sigkill sigterm
kind type sort class
label tag name
language locale english german translation
large big huge size great
last final end newest latest
latency delay slow time
launch start run
layout template format
length long size
library package module
licence license copyright mpl bsd mit apache
limit maximum minimum bound most least cap restrict
list show enumerate all
load read open
local machine here
location place where path position address
lock exclusive locked hold
log record write journal
login signin authenticate password
lose lost missing gone
lowercase lower case fold
machine computer host server
mail email send message
maintain care keep support
malformed invalid broken wrong
malicious attack attacker security hostile
manual hand
map dictionary table
mark flag label
match equal fit same
maximum most limit largest highest longest top upper
mean average
measure reading value measurement sample
memory ram
merge combine join
message text mail notification
method function def
migrate move upgrade convert
minimum least smallest lowest shortest lower
missing absent lost unknown gone without not
mistake error wrong typo
moment instant time now
money cash currency cent price
monitor watch observe metrics stats health
mount attach
move transfer shift migrate relocate
multiple several many more
name title called identifier
negative below zero minus
network internet connection remote
new fresh latest recent
next following after later
nightly night every
noon midday
notification alert mail message
notify tell inform alert mail
null none nothing empty
number count amount quantity digit
obsolete legacy old deprecated
occur happen
offline internet network disconnected
old legacy former earlier age
online internet network
operate run
operating platform linux windows system
option setting flag parameter choice
order sequence sort purchase priority
origin source from
outdated old stale expired
outlier spike extreme
output print result write
overdue late missed
overlap clash conflict
overwrite replace
owner maintainer author
package library parcel bundle
pad fill
parallel concurrent simultaneous worker thread
parcel package shipment shipping
parse read interpret
password secret credential
past history before previous earlier
path location file
pause wait stop suspend hold
pay payment charge cost
payload data argument body
pending waiting queued open
people person human user somebody
percent percentage share rate
performance speed fast
period interval time duration
permission right access allowed
persist save store keep disk
person people user
phone mobile
photo picture image
pick choose select take
plain simple raw
platform system windows linux
plugin extension
point place
port listen
postpone delay later defer
precise exact accuracy
prefix begin start
prevent avoid stop forbid protect
preview draft serve
previous earlier before last
price cost fee
print show display output
priority important urgent order first
private secret internal
probe sensor
process handle run
produce make create
product article item goods
programmer developer
progress status
prohibit forbid
project repository
promise guarantee
promotion coupon discount voucher code
proof evidence check
protect guard secure prevent
publish release deploy
purchase buy order
purge delete remove clean
quantity amount number
query question request ask
queue line waiting
quick fast short
quit exit end stop leave
quota limit
raise throw error
random shuffle jitter chance
range between limits interval
rank order sort
rare seldom
rate percent share frequency
read load parse
ready finished
real actual true
reboot restart
receive get obtain accept
recent latest new last
recipient receiver goes to
record entry row log
recover restore back resume come revive
recurring repeat every periodic schedule
redirect forward
redo again repeat
reduce lower less decrease
redundant duplicate
refresh reload update
refund return
refuse reject deny decline
regex pattern expression
register add sign record
regular every periodic
reject refuse deny invalid throw discard
release version publish free
reload restart anew refresh
remaining left rest
remember keep store
remind remember
remote server other
remove delete drop take out
rename name
repair fix
repeat again every retry
replace substitute override exchange
report print tell
repository project git
request ask call
require need must
reschedule retry later
reservation reserve hold
reset restore zero clear back
resize scale smaller
resolve find
resource file memory
restart again start reload
restore recover back undo
restrict limit
result outcome return
resume continue
retain keep
retry again attempt try
reuse again
reverse revert undo back
revert undo rollback back restore
revoke withdraw
rollback undo revert earlier restore
room space
round rounding half up nearest
route path
row line record
rule policy
safe secure
sale discount
same equal identical
sample example
save store write keep
scan read search
schedule plan cron daily every timetable calendar
screen display
script program
search find look
secret password key token credential
section part
secure safe protect
security vulnerability hole attack
select choose
send deliver transmit mail upload dispatch
sensor probe device
separate split
separator comma delimiter semicolon
sequence order list
server host machine
service daemon
session connection
several many multiple
share part divide
shipment delivery parcel ship
shop store
shortcut alias
show display print view
shrink smaller reduce
shutdown stop end
sibling neighbour
signal sigterm sighup
silence quiet mute suppress acknowledge
similar like alike
simulate fake pretend
simultaneous concurrent parallel
site website
size large bytes big
skip omit leave ignore
sleep wait pause
slow long speed
software program application
sort order
source origin
space blank room
speak language
special particular
specify give define set
speed fast
split divide separate
spread distribute
stale old outdated gone
standard default
start begin launch run
state status
statistics stats figures counts metrics
status state code
stay remain keep
step stage
stock inventory warehouse supply
stop end halt cancel terminate
storage disk store file
store keep save
strategy way
string text
strip remove trim
stuck hang block jam
style css stylesheet sheet
subdirectory folder
subject topic
submit send put
subscribe register
substitute replace
subtract minus remove
succeed success
sudden spike
suffix ending
suggest propose
summary digest report
supplier vendor provider
support help
suppress silence hide
surplus extra
survive remain
suspend pause
swap exchange
switch change
symbol sign
syntax format
synchronise sync
system platform
table list
tag label
target destination
task job work
tax vat
teammate colleague
temperature degrees celsius warm cold heat hot
temporary temp cache
terminate end kill stop
text string
theme style
thermometer temperature
thread worker
threshold limit
throttle limit slow
throughput speed
throw raise
time hour clock
timeout expire limit wait seconds
timezone utc zone
title heading name
token key
tolerance accuracy
tool program
topic subject
total sum
track follow
traffic load requests
transaction atomic
transfer move send
transform convert
translate language
transmit send
transport ship
trial test
trigger cause start
trim strip
trouble problem
truncate cut shorten
trust safe
type kind
typo mistake
uncertain unsure
undo rollback revert back
unexpected surprise
unfinished draft incomplete
uninstall remove
unique once different
unit measure
unknown missing
unlimited limit
unlock release
unpublished draft hidden
unused idle
update change upgrade
upgrade update version newer
upload send publish
urgent priority important
usage use
user person
utility tool
vacation holiday away
valid correct
value number
vanish disappear gone lost
variable value
variant kind
verify check
version release
view see show
visible shown
visitor reader
vulnerability security hole
warehouse stock
warn alert
waste discard
watch monitor
web http
webpage page
website site
week seven days
weight grams heavy kilogram
whitespace blank
whole entire
wipe delete
wire cable
withdraw take
word term
work job
worker process
workspace project
write save
year annual
yield return
zero none
"""


@cache
def synonyms() -> Mapping[str, frozenset[str]]:
    """The stems that may stand for a stem."""
    found: dict[str, set[str]] = {}
    for line in _GROUPS.strip().splitlines():
        stems = [stem for word in line.split() for stem in query_terms(word)]
        for stem in stems:
            found.setdefault(stem, set()).update(stems)
    return {stem: frozenset(others - {stem}) for stem, others in found.items()}
