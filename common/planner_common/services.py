"""Services that Planner sends to by Apprise, by the scheme of their URLs.

A list rather than all that Apprise has: these do nothing but HTTP, by the one library that the worker guards. The
others open connections of their own (mail, MQTT, IRC, XMPP), act on the machine they run on (D-Bus, syslog) or read its
files. A test of the worker reads the source of every plugin and compares, so that a new release of Apprise adds nothing
unseen.
"""

_SERVICES = """
    46elks apprise apprises atalk azure bark barks betterstack bluesky brevo bsky bulksms bulkvs burstsms chanify
    clickatell clicksend cliq cm d7sms dapnet dingtalk discord dot eight00com elks emby embys enigma2 enigma2s
    evolution evolutions exotel fcm feishu firehydrant flock flowtriq flowtriqs fluxer fluxers form forms freemobile
    gchat github goalert goalerts gorush gorushs gotify gotifys groundmail groupme guilded gupshup hassio hassios
    httpsms humhub humhubs ifttt ilert incidentio infobip jellyfin jellyfins jira join json jsons kakao kakaotalk
    kaleyra kavenegar klr kodi kodis kook kudosity kumulos lametric lametrics lark lauther lfg line mailersend
    mailgun mastodon mastodons matrix matrixs misskey misskeys mmost mmosts mobilemessage mobilemsg msg91 msgbird
    ncloud nclouds nctalk nctalks nexmo notica noticas notifiarr notifico notificos notifyre ntfy ntfys o365
    octopush onebot onebots onesignal opsgenie pagerduty pagertree parsep parseps pbul pinglet pinglets pingram pjet
    pjets plivo postmark pover prowl psafer psafers push pushdeer pushdeers pushed pushme pushplus pushward pushy qq
    reddit resend revolt ringc rocket rockets ryver schan sendgrid sendpulse serwersms ses session sessions seven
    sfr signal signalgrid signals signl4 simplepush sinch slack smsc smseagle smseagles smsmanager smsmgr smstunnel
    smtp2go sns sogs sparkpost spike splunk spugpush spush squadcast stackfield strmlabs synology synologys telesign
    telnyx tgram threema toot toots trigv trigvs tweet twilio twist twitter viber victorops voipms vonage webex
    wechat wecom wecombot whapi whatsapp workflow workflows wpush wxpusher wxteams x xbmc xbmcs xmatters xml xmls
    youlmk zalo zcliq zohocliq zoom zulip
"""
SERVICES = frozenset(_SERVICES.split())

_HOSTED = """
    apprise apprises bark barks betterstack emby embys enigma2 enigma2s evolution evolutions flowtriq flowtriqs
    fluxer fluxers form forms goalert goalerts gorush gorushs gotify gotifys hassio hassios humhub humhubs infobip
    jellyfin jellyfins json jsons kodi kodis lametric lametrics mailgun mastodon mastodons matrix matrixs misskey
    misskeys mmost mmosts ncloud nclouds nctalk nctalks notica noticas notifico notificos ntfy ntfys onebot onebots
    parsep parseps pinglet pinglets pjet pjets pushdeer pushdeers rocket rockets sendpulse session sessions signal
    signals smseagle smseagles smtp2go sogs sparkpost synology synologys toot toots trigv trigvs wechat workflow
    workflows xbmc xbmcs xmatters xml xmls
"""
HOSTED = frozenset(_HOSTED.split())
"""Those of them whose URL can name a host of the user's own."""
