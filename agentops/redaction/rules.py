"""What credentials look like: facts about providers, as tables.

Two shapes cover nearly all of them. A *marked* credential says by itself what it is (`ghp_`, `AKIA`, a JWT): TOKENS.
An *assigned* one is a plain run of letters and digits, known by the name that it is given (`heroku_key = ...`):
PROVIDERS for names of providers, the words in `secrets.py` for names that any program uses.

In the patterns of TOKENS `@` stands for a letter or digit, `#` for a lower-case hexadecimal digit and `~~` for a UUID.
Every repetition is bounded, or stands at the end where it cannot fail: a hostile text costs linear time.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROVIDERS", "RANDOM", "TOKENS", "Token", "expand"]


class Token(NamedTuple):
    """A credential with a mark of its own. If the pattern has a group, that is what is secret."""

    kind: str
    pattern: str
    entropy: float = 3.0  # bits a character; what has less is a placeholder; RANDOM: the group looks random
    after: str = r"(?!\w)"  # what must follow
    before: str = ""  # what must come before, beside that no letter or digit does


#: The whole is secret, and its group, the part after the prefix, has to look random.
RANDOM = -1.0
_OPEN = ""  # may be followed by anything: the pattern takes all that it can
_DASHED = r"(?![\w-])"

TOKENS: tuple[Token, ...] = (
    Token("AWS_ACCESS_KEY", r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", entropy=2.4),
    Token("AWS_BEDROCK_API_KEY", r"ABSK[@+/]{109,269}={0,2}", after=_OPEN),
    Token("AWS_BEDROCK_API_KEY", r"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[@+/=_%-]*", after=_OPEN),
    Token("AZURE_CLIENT_SECRET", r"[\w.~]{3}\dQ~[\w.~-]{31,34}", before=r"(?<![\w.~-])", after=r"(?![\w.~-])"),
    Token("AZURE_STORAGE_KEY", r"(?:Account|SharedAccess)Key=([@+/]{42,86}={1,2})", after=_OPEN),
    Token("AZURE_SAS_SIGNATURE", r"sig=([@%+/]{40,90}(?:%3[dD]|=))", after=_OPEN),
    Token("GCP_API_KEY", r"AIza[\w-]{35}", entropy=4, after=_DASHED),
    Token("GCP_OAUTH_CLIENT_SECRET", r"GOCSPX-[\w-]{28}", after=_DASHED),
    Token("GCP_OAUTH_TOKEN", r"ya29\.[\w-]{20,}", after=_OPEN),
    Token("GITHUB_TOKEN", r"gh[pousr]_@{36,255}", after=_OPEN),
    Token("GITHUB_TOKEN", r"github_pat_\w{82}"),
    Token("GITLAB_TOKEN", r"gl(?:pat|rt)-(?:t\d_)?[\w-]{27,300}\.[0-9a-z]{2}[0-9a-z]{7}"),
    Token("GITLAB_TOKEN", r"gl(?:pat|dt|ft|soat|rt|ffct)-[\w-]{20,50}"),
    Token("GITLAB_TOKEN", r"GR1348941[\w-]{20,50}"),
    Token("GITLAB_TOKEN", r"glcbt-(?:@{1,5}_)?[\w-]{20,50}"),
    Token("GITLAB_TOKEN", r"glimt-[\w-]{25}"),
    Token("GITLAB_TOKEN", r"glptt-[\w-]{40}"),
    Token("GITLAB_TOKEN", r"glagent-[\w-]{50,1024}"),
    Token("GITLAB_TOKEN", r"gloas-[\w-]{64}"),
    Token("GITLAB_SESSION_COOKIE", r"_gitlab_session=([0-9a-z]{32})", before=r"(?<!\w)"),
    Token("ANTHROPIC_API_KEY", r"sk-ant-(?:api|admin|oat|ort|sid)\d\d-[\w-]{93}AA", after=_DASHED),
    Token("OPENAI_API_KEY", r"sk-[\w-]{20,180}T3BlbkFJ[\w-]{20,180}", after=_OPEN),
    Token("OPENROUTER_API_KEY", r"sk-or-v1-#{64}"),
    Token("LANGFUSE_SECRET_KEY", r"sk-lf-~~"),
    Token("GROQ_API_KEY", r"gsk_@{48,56}"),
    Token("XAI_API_KEY", r"xai-@{70,90}"),
    Token("REPLICATE_API_KEY", r"r8_@{37}"),
    Token("TAVILY_API_KEY", r"tvly-(?:dev-)?@{32}"),
    Token("LANGSMITH_API_KEY", r"lsv2_(?:pt|sk)_#{32}_#{10}"),
    Token("HUGGINGFACE_TOKEN", r"(?:hf|api_org)_@{34}"),
    Token("PERPLEXITY_API_KEY", r"pplx-@{48}"),
    Token("SLACK_TOKEN", r"xox[a-z](?:-\d{1,16}){1,4}-(?=[A-Za-z]{0,20}\d)@[@-]{13,63}", entropy=2, after=_OPEN),
    Token("SLACK_TOKEN", r"(?:xoxe\.)?xox[a-z]-\d-@{48,400}", entropy=2, after=_OPEN),
    Token("SLACK_TOKEN", r"xox[ar]-(?:\d-)?@{8,48}", entropy=2.5, after=_DASHED),
    Token("SLACK_TOKEN", r"xapp-\d-@{5,20}-\d{5,20}-@{20,100}", entropy=2),
    Token("SLACK_WEBHOOK", r"hooks\.slack\.com\\?/(?:services|workflows|triggers)\\?/([@_+/\\]{30,100})", after=_OPEN),
    Token("TEAMS_WEBHOOK", r"webhook\.office\.com/webhookb2/(~~\x40~~/IncomingWebhook/@{32}/~~)", after=_OPEN),
    Token("DISCORD_WEBHOOK", r"discord(?:app)?\.com/api/webhooks/(\d{17,20}/[\w-]{60,90})", after=_OPEN),
    Token(
        "DISCORD_BOT_TOKEN",
        r"[A-Za-z][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,40}",
        4.5,
        before=r"(?<![\w.-])",
        after=r"(?![\w-])",
    ),
    Token("TELEGRAM_BOT_TOKEN", r"\d{8,10}:[\w-]{35}", before=r"(?<![\w-])", after=_DASHED),
    Token("TELEGRAM_BOT_TOKEN", r"telegram\.org/bot(\d{8,10}:[\w-]{35})", after=_DASHED),
    Token("STRIPE_API_KEY", r"(?:sk|rk)_(?:test|live|prod)_@{10,247}", entropy=2),
    Token("STRIPE_WEBHOOK_SECRET", r"whsec_[@+/]{32,64}", after=_OPEN),
    Token("SQUARE_TOKEN", r"(?:EAAA|sq0atp-|sq0csp-|sq0idp-)[\w\\-]{22,60}", entropy=2, after=_DASHED),
    Token("FACEBOOK_TOKEN", r"EAA[MC]@{100,}", entropy=4, after=_OPEN),
    Token("FACEBOOK_TOKEN", r"\d{15,16}(?:\||%7[cC]|%)[\w-]{27,40}", after=_DASHED),
    Token("JWT", r"ey@{15,}\.ey[\w/\\-]{15,4000}(?:\.(?:[\w/\\-]{10,}={0,2})?)?", before=r"(?<!\w)", after=_OPEN),
    Token("JWT", r"ZXlK[\w/+-]{60,}={0,2}", before=r"(?<![\w/+-])", after=_OPEN),
    Token("NPM_TOKEN", r"npm_@{36}", entropy=2),
    Token("NPM_TOKEN", r"//[\w.:-]{1,80}/:_(?:authToken|auth|password)=\s{0,4}([\w+/-]{16,90}={0,2})", after=_OPEN),
    Token("PYPI_TOKEN", r"pypi-Ag(?:EIcHlwaS5vcmc|ENdGVzdC5weXBpLm9yZw)[\w-]{70,}", after=_OPEN),
    Token("RUBYGEMS_TOKEN", r"rubygems_#{48}", entropy=2),
    Token("CLOJARS_TOKEN", r"(?:clojars|CLOJARS)_@{60}", entropy=2),
    Token("CRATES_IO_TOKEN", r"cio@{32}", before=r"(?<!\w)"),
    Token("NUGET_API_KEY", r"oy2[a-z0-9]{43}", entropy=3.5, before=r"(?<!\w)"),
    Token("DOCKER_TOKEN", r"dckr_[po]at_[\w-]{27,32}", after=_DASHED),
    Token("ARTIFACTORY_CREDENTIAL", r"AKC@{10,}", entropy=1, before=r"(?<![\w+/.-])", after=r"(?![\w+/.-])"),
    Token(
        "ARTIFACTORY_CREDENTIAL",
        r"AP[0-9A-F](?:[a-z]{10,64}|(?=[A-Za-z]{0,64}\d)@{10,64})",
        entropy=0,
        before=r"(?<![\w+/.-])",
        after=r"(?![\w+/.-])",
    ),
    Token("ARTIFACTORY_CREDENTIAL", r"cmVmd@{59}", entropy=4.5),
    Token("TWILIO_API_KEY", r"(?:AC|SK)[a-z0-9]{32}", entropy=0),
    Token("SENDGRID_API_KEY", r"SG\.[\w-]{22}\.[\w-]{43}", entropy=2, after=_DASHED),
    Token("SENDINBLUE_API_KEY", r"xkeysib-#{64}-@{16}", entropy=2),
    Token("MAILCHIMP_API_KEY", r"[0-9a-z]{32}-us\d{1,2}", before=r"(?<![\w-])"),
    Token("MAILGUN_API_KEY", r"(?:key|pubkey)-#{32}", before=r"(?<![\w-])"),
    Token("DIGITALOCEAN_TOKEN", r"do[opr]_v1_#{64}"),
    Token("DATABRICKS_TOKEN", r"dapi#{32}(?:-\d)?"),
    Token("DOPPLER_TOKEN", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{1,40}\.)?@{40,44}", entropy=2),
    Token("DUFFEL_TOKEN", r"duffel_(?:test|live)_[\w=-]{43}", entropy=2, after=_OPEN),
    Token("DYNATRACE_TOKEN", r"dt0[a-z]\d\d\.@{24}\.@{64}", entropy=4),
    Token("DEFINED_NETWORKING_TOKEN", r"dnkey-[\w=-]{26}-[\w=-]{52}", after=_OPEN),
    Token("EASYPOST_API_KEY", r"EZ[AT]K@{54}", entropy=2),
    Token("FLUTTERWAVE_KEY", r"FLW(?:SEC|PUB)K(?:_TEST)?-[a-h0-9]{32}-X", entropy=2),
    Token("FLUTTERWAVE_KEY", r"FLWSECK_TEST-[a-h0-9]{12}", entropy=2),
    Token("FLYIO_TOKEN", r"fo1_[\w-]{43}", entropy=4),
    Token("FLYIO_TOKEN", r"fm(?:1[ar]|2)_[@+/]{100,}={0,3}", entropy=4, after=_OPEN),
    Token("FRAMEIO_TOKEN", r"fio-u-[\w=-]{64}", after=_OPEN),
    Token("GRAFANA_TOKEN", r"eyJrIjoi@{70,400}={0,3}", after=_OPEN),
    Token("GRAFANA_TOKEN", r"glc_[\w+/-]{32,400}={0,3}", after=_OPEN),
    Token("GRAFANA_TOKEN", r"glsa_@{32}_[A-Fa-f0-9]{8}"),
    Token("HARNESS_API_KEY", r"(?:pat|sat)\.[\w-]{22}\.@{24}\.@{20}"),
    Token("HASHICORP_TERRAFORM_TOKEN", r"@{14}\.atlasv1\.[\w=-]{60,70}", entropy=3.5),
    Token("HASHICORP_VAULT_TOKEN", r"hv[bsr]\.[\w-]{90,300}", entropy=3.5, after=_OPEN),
    Token("HASHICORP_VAULT_TOKEN", r"s\.@{24}", entropy=3.5, before=r"(?<![\w.-])", after=r"(?![\w.(-])"),
    Token("HEROKU_API_KEY", r"HRKU-AA[\w-]{58}", entropy=4, after=_DASHED),
    Token("INFRACOST_API_KEY", r"ico-@{32}", before=r"(?<![\w-])", after=_DASHED),
    Token("INTRA42_CLIENT_SECRET", r"s-s4t2(?:ud|af)-[0-9a-f]{64}"),
    Token("LINEAR_API_KEY", r"lin_(?:api|oauth)_@{40,64}", entropy=2),
    Token("MAPBOX_TOKEN", r"[ps]k\.ey@{40,120}\.[\w-]{22}", after=_DASHED),
    Token("MAXMIND_LICENSE_KEY", r"@{6}_@{29}_mmk", entropy=4),
    Token("NEW_RELIC_KEY", r"(?:NRJS-#{19}|NRII-[\w-]{32}|NRAK-[A-Z0-9]{27})"),
    Token("NOTION_TOKEN", r"ntn_\d{11}@{35}", entropy=4),
    Token("NOTION_TOKEN", r"secret_@{43}", entropy=4),
    Token("OCTOPUS_DEPLOY_API_KEY", r"API-[A-Z0-9]{26}", before=r"(?<![\w/-])"),
    Token("ONEPASSWORD_SECRET_KEY", r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),
    Token("ONEPASSWORD_SERVICE_ACCOUNT_TOKEN", r"ops_eyJ[@+/_-]{250,}={0,3}", entropy=4, after=_OPEN),
    Token("OPENSHIFT_TOKEN", r"sha256~[\w-]{43}", entropy=3.5, after=_DASHED),
    Token("PLANETSCALE_CREDENTIAL", r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}", after=_OPEN),
    Token("POSTMAN_API_KEY", r"PMAK-#{24}-#{34}"),
    Token("PREFECT_API_KEY", r"pn[ub]_@{36}", entropy=2),
    Token("PULUMI_TOKEN", r"pul-#{40}", entropy=2),
    Token("README_API_KEY", r"rdme_[a-z0-9]{70}", entropy=2),
    Token("SCALINGO_TOKEN", r"tk-us-[\w-]{48}", entropy=2, after=_DASHED),
    Token("SENTRY_TOKEN", r"sntrys_eyJ[@+/]{40,420}={0,2}_[@+/]{43}", entropy=4, after=_OPEN),
    Token("SENTRY_TOKEN", r"sntry[a-z]_#{64}", entropy=3.3),
    Token("SETTLEMINT_TOKEN", r"sm_[aps]at_@{16}"),
    Token("SHIPPO_TOKEN", r"shippo_(?:live|test)_[0-9a-fA-F]{40}", entropy=2),
    Token("SHOPIFY_TOKEN", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", entropy=2),
    Token("SIDEKIQ_SECRET", r"BUNDLE_(?:ENTERPRISE|GEMS)__CONTRIBSYS__COM[\s'\":=]{1,6}([0-9a-f]{8}:[0-9a-f]{8})", 2),
    Token("SONAR_TOKEN", r"sq[upa]_@{40}"),
    Token("SOURCEGRAPH_TOKEN", r"sgp_(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40}"),
    Token("SUPABASE_TOKEN", r"sb(?:p|_secret)_[\w-]{31,50}", after=_DASHED),
    Token("TYPEFORM_TOKEN", r"tfp_[\w.=-]{59}", after=_OPEN),
    Token("ADOBE_CLIENT_SECRET", r"p8e-@{32}", entropy=2),
    Token("AGE_SECRET_KEY", r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}"),
    Token("AIRTABLE_TOKEN", r"pat@{14}\.#{64}"),
    Token("ALIBABA_ACCESS_KEY", r"LTAI@{12,26}", entropy=2.5, after=_DASHED),
    Token("TENCENT_ACCESS_KEY", r"AKID@{32}"),
    Token("ATLASSIAN_TOKEN", r"ATATT3[\w=-]{60,250}", entropy=3.5, after=_OPEN),
    Token("BITBUCKET_TOKEN", r"ATBB@{32}", entropy=3.5),
    Token(
        "AUTHRESS_ACCESS_KEY", r"(?:sc|ext|scauth|authress)_@{5,30}\.@{4,6}\.acc[_-][a-z0-9-]{10,32}\.[\w+/=-]{30,120}"
    ),
    Token("BEAMER_TOKEN", r"b_[a-z0-9=_-]{44}", entropy=4, before=r"(?<![\w-])", after=_DASHED),
    Token("CLICKHOUSE_API_SECRET", r"4b1d@{38}"),
    Token("CLOUDFLARE_ORIGIN_CA_KEY", r"v1\.0-#{24}-#{146}", entropy=2),
    Token("PLAID_ACCESS_TOKEN", r"access-(?:sandbox|development|production)-~~"),
    Token("YANDEX_TOKEN", r"(?:AQVN[\w-]{35,38}|t1\.[\w-]{4,300}={0,2}\.[\w-]{86}={0,2})", after=_OPEN),
    Token("TWITTER_BEARER_TOKEN", r"AA{21}[@%]{80,100}", after=_OPEN),
    Token("DROPBOX_TOKEN", r"sl\.[\w=-]{130,}", after=_OPEN),
    Token("SOFTLAYER_API_KEY", r"api\.softlayer\.com/soap/v3(?:\.1)?/([a-z0-9]{64})"),
    # What begins as nothing else does is believed at any length if it looks random: providers change the length.
    Token("GITHUB_TOKEN", r"gh[pousr]_(@{20,255})", RANDOM),
    Token("GITHUB_TOKEN", r"github_pat_(\w{30,255})", RANDOM),
    Token("GITLAB_TOKEN", r"gl(?:pat|dt|ft|soat|rt|ffct|ptt|oas|imt|agent)-([\w-]{16,1024})", RANDOM),
    Token("ANTHROPIC_API_KEY", r"sk-ant-(?:[a-z]{2,8}\d\d-)?([\w-]{20,300})", RANDOM),
    Token("OPENAI_API_KEY", r"sk-(?:proj|svcacct|admin|service)-([\w-]{20,300})", RANDOM),
    Token("OPENAI_API_KEY", r"sk-(@{32,64})", RANDOM, after=_DASHED),
    Token("OPENROUTER_API_KEY", r"sk-or-(?:v\d-)?([\w-]{20,200})", RANDOM),
    Token("GROQ_API_KEY", r"gsk_(@{20,200})", RANDOM),
    Token("XAI_API_KEY", r"xai-(@{20,200})", RANDOM),
    Token("HUGGINGFACE_TOKEN", r"hf_(@{20,200})", RANDOM),
    Token("STRIPE_API_KEY", r"(?:sk|rk)_(?:test|live|prod)_(@{10,500})", RANDOM),
    Token("NPM_TOKEN", r"npm_(@{20,200})", RANDOM),
    Token("GCP_API_KEY", r"AIza([\w-]{28,60})", RANDOM, after=_DASHED),
)

#: Names of providers, as words of a key, and what stands under such a key: a letter for the alphabet and how many;
#: a: letters and digits, b: those, `/` and `+`, w: those, `_`, `-` and `=`, h: hexadecimal, d: digits; u: a UUID.
PROVIDERS: dict[str, str] = {
    "adafruit": "w32",
    "adobe": "h32",
    "airtable": "a17",
    "algolia": "a32",
    "alibaba": "a30",
    "artifactory": "a64 a73",
    "asana": "d16 a32",
    "atlassian": "a24",
    "aws": "b40",
    "bintray": "a64 a73",
    "bitbucket": "a32 w64",
    "bittrex": "a32",
    "cloudant": "h64 a24",
    "cloudflare": "h37 w40",
    "codecov": "a32 u",
    "co_api_key": "a40",
    "cohere": "a40",
    "coinbase": "w64",
    "confluence": "a24",
    "confluent": "a16 a64",
    "contentful": "w43",
    "datadog": "a32 a40",
    "discord": "d18 w32 h64",
    "droneci": "a32",
    "dropbox": "a15 w64",
    "etsy": "a24",
    "facebook": "h32",
    "fastly": "w32",
    "finicity": "a20 h32",
    "finnhub": "a20",
    "flickr": "a32",
    "freshbooks": "a64",
    "gitter": "w40",
    "gocardless": "w45",
    "heroku": "u",
    "hubspot": "u",
    "ibm": "w44 h48",
    "intercom": "w60",
    "jfrog": "a64 a73",
    "jira": "a24",
    "kraken": "w80 w81 w82 w83 w84 w85 w86 w87 w88 w89 w90",
    "kucoin": "h24 u",
    "launchdarkly": "w40",
    "linear": "h32",
    "linkedin": "a14 a16",
    "linked_in": "a14 a16",
    "lob": "w40 w40",
    "looker": "a20 a24",
    "mattermost": "a26",
    "meraki": "h40",
    "messagebird": "a25 u",
    "message_bird": "a25 u",
    "netlify": "w40 w41 w42 w43 w44 w45 w46",
    "newrelic": "a64 h40",
    "new_relic": "a64 h40",
    "nytimes": "w32",
    "newyorktimes": "w32",
    "okta": "w42",
    "plaid": "a24 a30",
    "private_ai": "a32",
    "privateai": "a32",
    "rapidapi": "w50",
    "sendbird": "h40 u",
    "sentry": "h64",
    "snyk": "u",
    "softlayer": "a64",
    "sonar": "w40 w44",
    "sourcegraph": "h40",
    "squarespace": "u",
    "sumo": "a14 a64",
    "sumologic": "a14 a64",
    "travis": "a22",
    "twitch": "a30",
    "twitter": "a25 a45 a50 w50",
    "xray": "a64 a73",
    "yandex": "w40",
    "zendesk": "a40",
}

_UUID = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


def expand(pattern: str) -> str:
    """A pattern of the table as one for `re`."""
    pattern = pattern.replace("~~", _UUID)
    out, within = [], False
    for n, character in enumerate(pattern):
        if character in "[]" and (n == 0 or pattern[n - 1] != "\\"):
            within = character == "["
        if character == "@":
            out.append("A-Za-z0-9" if within else "[A-Za-z0-9]")
        elif character == "#":
            out.append("0-9a-f" if within else "[0-9a-f]")
        else:
            out.append(character)
    return "".join(out)
